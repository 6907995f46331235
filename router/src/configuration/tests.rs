use super::*;
use candid::Nat;

fn check(arguments: InitArguments) -> Result<Configuration, ConfigurationFault> {
    Configuration::from_arguments(arguments, Principal::from_slice(&[1]))
}

#[test]
fn empty_arguments_make_two_shards_that_the_installer_administers() {
    let configuration = check(InitArguments::default()).unwrap();
    assert_eq!(configuration.initial_shards, 2);
    assert_eq!(configuration.shard_cycles, SHARD_CYCLES_DEFAULT);
    assert_eq!(configuration.administrators, [Principal::from_slice(&[1])].into());
    assert!(configuration.writers.is_empty() && configuration.readers.is_empty());
}

#[test]
fn anonymous_installer_does_not_become_administrator() {
    let configuration = Configuration::from_arguments(InitArguments::default(), Principal::anonymous()).unwrap();
    assert!(configuration.administrators.is_empty());
    let named = InitArguments { administrators: Some(vec![Principal::anonymous()]), ..InitArguments::default() };
    assert_eq!(check(named), Err(ConfigurationFault::AnonymousAdministrator));
}

#[test]
fn numbers_out_of_bounds_are_refused() {
    for given in [0, 65, u32::MAX] {
        let arguments = InitArguments { initial_shards: Some(given), ..InitArguments::default() };
        assert_eq!(check(arguments), Err(ConfigurationFault::InitialShards { given }));
    }
    for cycles in [Nat::from(0u8), Nat::from(SHARD_CYCLES_MIN - 1), Nat::from(u128::MAX), Nat::from(u128::MAX) * 2u8] {
        let arguments = InitArguments { shard_cycles: Some(cycles), ..InitArguments::default() };
        assert_eq!(check(arguments), Err(ConfigurationFault::ShardCycles));
    }
}

#[test]
fn crowds_are_refused_and_repetitions_are_not() {
    let crowd = |count: u16| Some((0..count).map(|number| Principal::from_slice(&number.to_be_bytes())).collect());
    let administrators = InitArguments { administrators: crowd(9), ..InitArguments::default() };
    assert_eq!(check(administrators), Err(ConfigurationFault::TooManyAdministrators { given: 9 }));
    let writers = InitArguments { writers: crowd(1001), ..InitArguments::default() };
    assert_eq!(check(writers), Err(ConfigurationFault::TooManyPrincipals { given: 1001 }));
    let repeated = InitArguments { readers: Some(vec![Principal::anonymous(); 2000]), ..InitArguments::default() };
    assert_eq!(check(repeated).unwrap().readers.len(), 1);
}
