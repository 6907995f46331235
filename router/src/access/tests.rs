use super::*;

#[test]
fn every_method_of_the_interface_requires_a_role() {
    let exported = include_str!("../service.rs");
    let methods =
        exported.lines().filter_map(|line| line.split_once("\"canister_")?.1.split('"').next()?.split_once(' '));
    let methods: Vec<&str> = methods.map(|(_, name)| name).collect();
    assert_eq!(methods.len(), 21);
    assert!(methods.iter().all(|method| required_role(method).is_some()), "{methods:?}");
    assert_eq!(required_role("canister_init"), None);
}
