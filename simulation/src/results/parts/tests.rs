use super::*;
use crate::history::Counts;
use crate::tally::Tally;

fn subject(first: u64, last: u64) -> Subject {
    Subject { first, last, operations: 2_000, commit: "abc".to_string() }
}

fn summary(runs: usize) -> Summary {
    let mut tally = Tally::default();
    tally.note_times(Happening::Repeated, 5);
    Summary {
        runs,
        repeated: 1,
        counts: Counts { done: 10, refused: 3, unknown: 2, sendings: 20 },
        messages: 100,
        seconds: 1.5,
        fired: [(FaultName::ReplyLost, (3, 7))].into(),
        tally,
        ..Summary::default()
    }
}

#[test]
fn parts_add_up() {
    let texts = [write(&subject(50, 99), &summary(50)), write(&subject(0, 49), &summary(50))];
    let (whole, sums) = add(&texts).expect("the ranges follow each other");
    assert_eq!(whole, subject(0, 99));
    assert_eq!((sums.runs, sums.repeated, sums.messages, sums.seconds), (100, 2, 200, 3.0));
    assert_eq!(sums.counts, Counts { done: 20, refused: 6, unknown: 4, sendings: 40 });
    assert_eq!(sums.fired[&FaultName::ReplyLost], (6, 14));
    assert_eq!(sums.tally.times(Happening::Repeated), 10);
    assert!(sums.failed.is_empty());
}

#[test]
fn a_gap_an_overlap_and_another_campaign_are_refused() {
    let first = write(&subject(0, 49), &summary(50));
    for other in [subject(51, 60), subject(49, 60), Subject { commit: "other".to_string(), ..subject(50, 60) }] {
        assert!(add(&[first.clone(), write(&other, &summary(10))]).is_err(), "{other:?}");
    }
    assert!(add(&[]).is_err());
    assert!(add(&["happened often".to_string()]).is_err());
}

#[test]
fn a_failure_stays_one_of_its_kind() {
    let kinds: [fn(String) -> Failure; 3] = [Failure::Wrong, Failure::NoProgress, Failure::Crash];
    for kind in kinds {
        let failure = kind("key 3 is gone".to_string());
        let (options, events) = (Options::default(), Vec::new());
        let failed = FailedSeed { seed: 7, options, failure: failure.clone(), events, shrunk: None };
        let part = write(&subject(0, 9), &Summary { failed: vec![failed], ..summary(8) });
        let (_, sums) = add(&[part]).expect("one part is a campaign too");
        assert_eq!((sums.failed[0].seed, &sums.failed[0].failure), (7, &failure));
    }
}
