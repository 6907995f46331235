use canopy_types::ShardIndex;

use super::*;

#[test]
fn decisions_are_told_with_what_was_measured_and_what_it_was_compared_with() {
    let decision = |action, reason, value, threshold| {
        decision_text(&GrowthDecision { at_nanoseconds: 0, action, reason, value, threshold, transfer: None })
    };
    let split = GrowthAction::Split { shard: ShardIndex(3) };
    let told = decision(split, GrowthReason::RecordBytes, 33 << 30, 32 << 30);
    assert_eq!(told, "shard 3 is split: 33 GiB of records, and the policy splits at 32 GiB");
    let told = decision(split, GrowthReason::Operations, 400_000, 300_000);
    assert_eq!(told, "shard 3 is split: 400,000 operations a minute, and the policy splits at 300,000");
    let told = decision(GrowthAction::MakeSpares { count: 2 }, GrowthReason::Spares, 0, 2);
    assert_eq!(told, "2 spares are made: there were 0, and 2 are wanted");
}

#[test]
fn people_are_shown_the_latest_decisions_and_everything_in_the_way() {
    let decision = |at_nanoseconds, value| GrowthDecision {
        at_nanoseconds,
        action: GrowthAction::MakeSpares { count: 1 },
        reason: GrowthReason::Spares,
        value,
        threshold: 9,
        transfer: None,
    };
    let decisions = (0..5).map(|value| decision(value, value)).collect();
    let notices = vec![GrowthNotice::HotKey { shard: ShardIndex(1) }];
    let growth = GrowthStatus { shards: vec![], decisions, notices, spares: 0, spares_wanted: 0, cycles_in_day: None };
    let lines = lines(&growth);
    assert_eq!(lines.len(), DECISIONS_SHOWN_MAX + 1);
    assert!(lines[0].contains("there were 2") && lines[2].contains("there were 4"), "{lines:?}");
    assert!(lines[3].starts_with("notice: one key"), "{lines:?}");
}
