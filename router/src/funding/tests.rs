use canopy_types::codec::{decode, encode};

use super::*;

const NOW: u64 = 500_000 * HOUR_NANOSECONDS + 7;
const SHARD: ShardIndex = ShardIndex(3);

#[test]
fn what_was_spent_is_counted_for_a_day_and_taken_back_only_where_it_was_counted() {
    let mut spending = Spending::default();
    spending.add(10, NOW);
    spending.add(5, NOW + HOUR_NANOSECONDS / 2);
    spending.add(100, NOW + HOUR_NANOSECONDS);
    spending = decode(&encode(&spending)).unwrap();
    assert_eq!(spending.in_day(NOW + HOUR_NANOSECONDS), 115);
    assert_eq!(spending.in_day(NOW + 23 * HOUR_NANOSECONDS), 115);
    assert_eq!(spending.in_day(NOW + 24 * HOUR_NANOSECONDS), 100);
    spending.take_back(5, NOW + 1);
    assert_eq!(spending.in_day(NOW + HOUR_NANOSECONDS), 110);
    spending.take_back(1_000, NOW);
    spending.take_back(1_000, NOW + 5 * HOUR_NANOSECONDS);
    assert_eq!(spending.in_day(NOW + HOUR_NANOSECONDS), 100, "no more than was counted then");
    for hour in 0..1_000 {
        spending.add(1, NOW + hour * HOUR_NANOSECONDS);
    }
    assert_eq!(spending.hours.len() as u64, HOURS_PER_DAY);
    assert_eq!(spending.in_day(NOW + 999 * HOUR_NANOSECONDS), 24);
}

#[test]
fn a_purse_names_what_is_short_with_the_numbers() {
    let mut spending = Spending::default();
    let mut purse = Purse { spending: &mut spending, available: 1_000, kept: 300, cycles_per_day_max: 600, now: NOW };
    let short = |limit, available: u128, required: u128| {
        Err(FundingShortage { shard: SHARD, limit, available: available.into(), required: required.into() })
    };
    assert_eq!(purse.check(SHARD, 600), Ok(()));
    assert_eq!(purse.check(SHARD, 601), short(FundingLimit::CyclesPerDay, 600, 601));
    purse.spend(400);
    assert_eq!(purse.check(SHARD, 201), short(FundingLimit::CyclesPerDay, 200, 201));
    purse.now += HOURS_PER_DAY * HOUR_NANOSECONDS;
    assert_eq!(purse.check(SHARD, 300), Ok(()));
    assert_eq!(purse.check(SHARD, 301), short(FundingLimit::RouterCycles, 600, 601));
}
