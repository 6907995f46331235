use super::*;
use crate::configuration::Configuration;
use canopy_types::InitArguments;

fn principal(number: u8) -> Principal {
    Principal::from_slice(&[number])
}

fn configuration() -> Configuration {
    let arguments = InitArguments {
        administrators: Some(vec![principal(1)]),
        writers: Some(vec![principal(2)]),
        readers: Some(vec![principal(3)]),
        ..InitArguments::default()
    };
    Configuration::from_arguments(arguments, principal(9)).unwrap()
}

#[test]
fn everyone_has_the_role_that_was_named() {
    let configuration = configuration();
    let roles: Vec<_> = (1..=4).map(|number| role(&configuration, principal(number), false)).collect();
    assert_eq!(roles, [Some(Role::Administrator), Some(Role::Writer), Some(Role::Reader), None]);
    assert_eq!(role(&configuration, principal(4), true), Some(Role::Administrator), "a controller");
    assert_eq!(role(&configuration, principal(9), false), None, "the installer, when administrators are named");
}

#[test]
fn every_method_of_the_interface_requires_a_role() {
    let exported = include_str!("../service.rs");
    let methods =
        exported.lines().filter_map(|line| line.split_once("\"canister_")?.1.split('"').next()?.split_once(' '));
    let methods: Vec<&str> = methods.map(|(_, name)| name).collect();
    assert_eq!(methods.len(), 7);
    assert!(methods.iter().all(|method| required_role(method).is_some()), "{methods:?}");
    assert_eq!(required_role("canister_init"), None);
}
