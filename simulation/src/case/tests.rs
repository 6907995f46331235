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
fn ranges_move_in_every_run_of_the_campaign_but_some_heavy_ones() {
    let options = Options::of_campaign();
    let cases = (0..400).map(|seed| Case::draw(seed, &options));
    let (heavy, others): (Vec<Case>, Vec<Case>) =
        cases.partition(|case| case.large_value_one_in == HEAVY_LARGE_VALUE_ONE_IN);
    assert!(others.iter().all(|case| case.rate(FaultName::RangesMove) > 0));
    let stays = heavy.iter().filter(|case| case.rate(FaultName::RangesMove) == 0).count();
    assert!((4..30).contains(&heavy.len()) && (1..heavy.len()).contains(&stays), "{stays} of {}", heavy.len());
    // All else is as it would be drawn otherwise.
    let (mut forced, mut drawn) = (Case::draw(7, &options), Case::draw(7, &Options::default()));
    for case in [&mut forced, &mut drawn] {
        case.operations = 0;
        case.rates.remove(&FaultName::RangesMove);
    }
    assert_eq!(forced, drawn);
}

#[test]
fn shards_split_by_themselves_in_some_runs_but_no_heavy_ones() {
    let cases: Vec<Case> = (0..400).map(|seed| Case::draw(seed, &Options::of_campaign())).collect();
    let grows: Vec<&Case> = cases.iter().filter(|case| case.growth.is_some()).collect();
    assert!((60..140).contains(&grows.len()), "{}", grows.len());
    assert!(grows.iter().all(|case| case.large_value_one_in != HEAVY_LARGE_VALUE_ONE_IN));
    let by_bytes = grows.iter().filter(|case| case.growth.is_some_and(|growth| growth.split_at_record_bytes > 0));
    assert!((20..120).contains(&by_bytes.count()));
}
