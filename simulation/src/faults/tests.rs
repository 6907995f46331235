use super::*;

#[test]
fn options_survive_the_command_line() {
    let mut options = FaultOptions::default();
    options.parse("reply-lost=on").expect("a name and a switch");
    options.parse("clock-step=off").expect("a name and a switch");
    options.parse("timer-late=0.25").expect("a name and a rate");
    let mut again = FaultOptions::default();
    for argument in options.arguments() {
        again.parse(argument.strip_prefix("--fault ").expect("most faults are drawn")).expect("made by arguments()");
    }
    assert_eq!(again, options);
}

#[test]
fn only_switches_the_others_off() {
    let options = FaultOptions::only(&["reply-lost".to_string()]).expect("the fault exists");
    assert_eq!(options.arguments(), ["--none", "--fault reply-lost=on"]);
    let rates = options.draw(&mut Draw::new(3, 0));
    assert_eq!(rates.values().filter(|rate| **rate > 0).count(), 1);
}

#[test]
fn nonsense_is_refused() {
    let mut options = FaultOptions::default();
    assert!(options.parse("reply-lost").is_err());
    assert!(options.parse("reply-found=on").is_err());
    assert!(options.parse("reply-lost=1.5").is_err());
    assert!(FaultOptions::only(&["nothing".to_string()]).is_err());
}

#[test]
fn switching_one_fault_off_leaves_the_others_as_they_were() {
    let mut options = FaultOptions::default();
    let before = options.draw(&mut Draw::new(5, 0));
    let dropped = *before.iter().find(|(_, rate)| **rate > 0).expect("seed 5 has faults").0;
    options.set(dropped, Switch::Off);
    let after = options.draw(&mut Draw::new(5, 0));
    assert_eq!(after[&dropped], 0);
    assert!(before.iter().all(|(fault, rate)| *fault == dropped || after[fault] == *rate));
}

#[test]
fn names_are_unique() {
    let names: std::collections::BTreeSet<&str> = FaultName::ALL.iter().map(|fault| fault.text()).collect();
    assert_eq!(names.len(), FaultName::ALL.len());
}
