use super::*;
use canopy_types::policy::Policy;

pub const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_700_000_000 * SECOND;

/// A reading of a shard in order.
pub fn reading(record_bytes: u64) -> ShardReading {
    ShardReading {
        records: record_bytes / 1_000,
        record_bytes,
        stable_bytes: 1 << 40,
        free_bytes: (1 << 40) - record_bytes,
        heap_bytes: 2 << 20,
        cycles: 3_000_000_000_000u64.into(),
        liquid_cycles: 2_000_000_000_000u64.into(),
        out_of_space: false,
        low_memory: false,
        clears_up: false,
        in_transfer_with: None,
        operations: record_bytes / 1_000,
        instructions: record_bytes * 20,
        load_boundary: None,
    }
}

fn thresholds(record_bytes: u64) -> Thresholds {
    let policy =
        Policy { split_at_record_bytes: Some(record_bytes), split_at_stable_bytes: Some(0), ..Policy::default() };
    Thresholds::of(&policy)
}

/// Readings in these seconds.
fn readings(said: impl IntoIterator<Item = (u64, ShardReading)>) -> Readings {
    let mut said = said.into_iter().map(|(seconds, reading)| Taken { at: NOW + seconds * SECOND, reading });
    let mut readings = Readings::new(Epoch(1), said.next().expect("a first reading"));
    said.for_each(|taken| readings.add(taken));
    readings
}

#[test]
fn at_a_constant_fill_the_forecast_errs_by_a_tenth_at_most() {
    for interval in [1, 5, 20, 120] {
        let rate = 1 << 20;
        let filled = |seconds: u64| reading(rate * seconds);
        let mut readings = readings([(interval, filled(interval))]);
        for step in 2..400 {
            let seconds = step * interval;
            readings.add(Taken { at: NOW + seconds * SECOND, reading: filled(seconds) });
            let left = 1_000_000 - seconds;
            let forecast = readings.seconds_until_split(&thresholds(rate * 1_000_000)).expect("it fills");
            assert!(forecast.abs_diff(left) * 10 <= left, "{forecast} instead of {left}");
        }
    }
}

#[test]
fn a_shard_that_does_not_fill_or_has_spoken_once_is_not_forecast() {
    let thresholds = thresholds(1 << 30);
    assert_eq!(readings([(0, reading(1_000))]).seconds_until_split(&thresholds), None);
    assert_eq!(readings([(0, reading(2_000)), (60, reading(2_000))]).seconds_until_split(&thresholds), None);
    assert_eq!(readings([(0, reading(0)), (60, reading(2 << 30))]).seconds_until_split(&thresholds), Some(0));
}

#[test]
fn cycles_are_forecast_by_what_is_burnt_and_not_by_what_is_given() {
    let with = |liquid: u64| ShardReading { liquid_cycles: liquid.into(), ..reading(0) };
    let burning = readings([(0, with(1_000_000)), (100, with(900_000)), (200, with(800_000))]);
    assert_eq!(burning.seconds_until_out_of_cycles(), Some(800));
    let topped_up =
        readings([(0, with(1_000_000)), (100, with(900_000)), (200, with(5_000_000)), (300, with(4_800_000))]);
    assert_eq!(topped_up.seconds_until_out_of_cycles(), Some(4_800_000 / 1_000));
    assert_eq!(readings([(0, with(5)), (100, with(5))]).seconds_until_out_of_cycles(), None);
}

#[test]
fn a_load_must_last_for_three_minutes_and_not_be_over() {
    let with = |operations: u64| ShardReading { operations, instructions: 7 * operations, ..reading(0) };
    let steady = |seconds: u64| readings((0..=seconds / 20).map(|step| (20 * step, with(20_000 * step))));
    assert_eq!(steady(160).load(), None);
    assert_eq!(steady(200).load(), Some((60_000, 420_000)));
    // A burst of a moment.
    let burst = readings((0..=20).map(|step| (20 * step, with(if step < 20 { step } else { 500_000 }))));
    assert!(burst.load().unwrap().0 < 200_000);
    // What is over.
    let over = readings((0..=20).map(|step| (20 * step, with(20_000 * step.min(15)))));
    assert_eq!(over.load().unwrap().0, 0);
}

#[test]
fn what_a_shard_said_before_an_upgrade_or_while_it_cleared_up_makes_no_rate() {
    let upgraded = readings([(0, reading(5_000_000)), (60, reading(6_000_000)), (120, reading(1_000))]);
    assert_eq!(upgraded.seconds_until_split(&thresholds(1 << 30)), None);
    let clearing = ShardReading { clears_up: true, ..reading(1_000_000) };
    let cleared = readings([(0, reading(0)), (60, clearing), (120, reading(2_000_000))]);
    assert_eq!(cleared.seconds_until_split(&thresholds(1 << 30)), None);
}

#[test]
fn readings_are_bounded_and_late_ones_dropped() {
    let mut readings = readings((0..500).map(|step| (step, reading(step))));
    assert!(readings.before.len() <= READINGS_MAX);
    let newest = readings.newest().clone();
    readings.add(Taken { at: newest.at - 1, reading: reading(9) });
    assert_eq!(*readings.newest(), newest);
}

#[test]
fn the_nearer_a_threshold_the_sooner_a_shard_is_asked_again() {
    let wait = |readings: &Readings, threshold, in_transfer| {
        (readings.next_at(&thresholds(threshold), in_transfer) - readings.newest().at) / SECOND
    };
    let idle = readings([(0, reading(0))]);
    assert_eq!(wait(&idle, 32 << 30, false), 120);
    assert_eq!(wait(&idle, 8 << 30, false), 32);
    assert_eq!(wait(&idle, 1 << 20, false), 5);
    assert_eq!(wait(&idle, 32 << 30, true), 10);
    // Beyond it, something else is waited for.
    assert_eq!(wait(&readings([(0, reading(2 << 30))]), 1 << 30, false), 10);
    // One that fills as never before.
    let filling = readings([(0, reading(0)), (20, reading(16 << 30))]);
    assert_eq!(wait(&filling, 32 << 30, false), 5);
    let busy = readings((0..10).map(|step| (60 * step, ShardReading { operations: 200_000 * step, ..reading(0) })));
    assert_eq!(wait(&busy, 32 << 30, false), 30);
}
