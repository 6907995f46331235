use super::*;

#[test]
fn every_method_of_the_interface_requires_a_role() {
    let exported = include_str!("../service.rs");
    let methods =
        exported.lines().filter_map(|line| line.split_once("\"canister_")?.1.split('"').next()?.split_once(' '));
    let methods: Vec<&str> = methods.map(|(_, name)| name).collect();
    assert_eq!(methods.len(), 34);
    let without: Vec<&&str> = methods.iter().filter(|method| required_role(method).is_none()).collect();
    assert_eq!(without, [&"collect_uploads"], "only shards ask for this, and not from outside");
    assert_eq!(required_role("canister_init"), None);
}
