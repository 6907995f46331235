use super::*;

/// Everything happened once.
fn all() -> Tally {
    let mut tally = Tally::default();
    Happening::ALL.iter().for_each(|happening| tally.note(*happening));
    tally
}

fn summary(runs: usize, done: u64, refused: u64, fired: u64) -> Summary {
    Summary {
        runs,
        counts: Counts { done, refused, ..Counts::default() },
        fired: BTreeMap::from([(FaultName::ReplyLost, (3, fired))]),
        tally: all(),
        ..Summary::default()
    }
}

#[test]
fn a_fault_that_never_fired_is_a_weakness() {
    assert_eq!(summary(200, 10, 0, 0).weaknesses(), [Weakness::NeverFired(FaultName::ReplyLost)]);
    assert_eq!(summary(200, 10, 0, 1).weaknesses(), []);
}

#[test]
fn little_done_is_a_weakness() {
    assert!(matches!(summary(200, 9, 10, 1).weaknesses()[..], [Weakness::LittleDone(_)]));
    assert_eq!(summary(200, 10, 10, 1).weaknesses(), []);
}

#[test]
fn few_runs_are_not_judged() {
    assert_eq!(summary(RUNS_TO_JUDGE_MIN - 1, 0, 10, 0).weaknesses(), []);
}

#[test]
fn what_never_happened_is_a_weakness() {
    let mut nothing = summary(200, 10, 0, 1);
    nothing.tally = Tally::default();
    assert!(nothing.weaknesses().contains(&Weakness::NeverHappened(Happening::Repeated)));
}
