use super::*;

fn wrong() -> Option<Failure> {
    Some(Failure::Wrong(String::new()))
}

#[test]
fn what_doesnt_matter_is_dropped() {
    let (smallest, _) = shrink_with(&Options::default(), 100, |options| {
        let needed = options.faults.switch(FaultName::ReplyLost) != Switch::Off && options.operations >= 30;
        if needed { wrong() } else { None }
    })
    .expect("there is a smaller run");
    assert!((30..60).contains(&smallest.operations));
    assert_eq!(smallest.faults.arguments(), ["--none", "--fault reply-lost=drawn"]);
}

#[test]
fn a_run_that_needs_everything_stays() {
    assert_eq!(shrink_with(&Options::default(), 100, |_| None), None);
}

#[test]
fn runs_are_bounded() {
    let mut runs = 0;
    shrink_with(&Options::default(), 7, |_| {
        runs += 1;
        wrong()
    });
    assert_eq!(runs, 7);
}
