use super::*;

#[test]
fn the_same_seed_draws_the_same_case() {
    let options = Options::default();
    assert_eq!(Case::draw(7, &options), Case::draw(7, &options));
    assert_ne!(Case::draw(7, &options), Case::draw(8, &options));
}

#[test]
fn cases_stay_within_bounds_and_reach_them() {
    let mut shards = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let case = Case::draw(seed, &Options::default());
        shards.insert(case.initial_shards);
        assert!(case.users.min(case.callers) as u64 >= EITHER_MIN && case.users + case.callers == CLIENTS);
        assert!(case.keys.iter().all(|key| (1..=KEY_BYTES_MAX as usize).contains(&key.len())));
        let distinct: std::collections::BTreeSet<&Vec<u8>> = case.keys.iter().collect();
        assert_eq!(distinct.len(), case.keys.len());
    }
    assert_eq!(shards.len(), SHARDS_MAX as usize);
}

#[test]
fn every_fault_is_on_in_some_and_off_in_others() {
    for fault in FaultName::ALL {
        let on = (0..200).filter(|seed| Case::draw(*seed, &Options::default()).rate(*fault) > 0).count();
        assert!((20..=150).contains(&on), "{} is on in {on} of 200", fault.text());
    }
}

#[test]
fn ranges_move_in_every_run_of_the_campaign_but_the_heavy_ones() {
    let options = Options::of_campaign();
    let cases = (0..200).map(|seed| Case::draw(seed, &options));
    let (heavy, others): (Vec<Case>, Vec<Case>) =
        cases.partition(|case| case.large_value_one_in == HEAVY_LARGE_VALUE_ONE_IN);
    assert!(others.iter().all(|case| case.rate(FaultName::RangesMove) > 0));
    assert!(heavy.iter().all(|case| case.rate(FaultName::RangesMove) == 0));
    assert!((2..15).contains(&heavy.len()), "{}", heavy.len());
    // All else is as it would be drawn otherwise.
    let (mut forced, mut drawn) = (Case::draw(7, &options), Case::draw(7, &Options::default()));
    for case in [&mut forced, &mut drawn] {
        case.operations = 0;
        case.rates.remove(&FaultName::RangesMove);
    }
    assert_eq!(forced, drawn);
}
