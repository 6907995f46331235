use super::*;

#[test]
fn a_message_of_many_lines_is_told_in_one() {
    let failure = Failure::network("first\n  second\r\n\tthird").during("get").with_advice("try again");
    assert_eq!(failure.to_string(), "get: first second third; try again");
}

#[test]
fn kinds_follow_from_reasons() {
    let kind = |reason: Reason| Failure::from(NotDone { reason }).kind;
    let message = String::new;
    assert_eq!(kind(Reason::NotSent { reject_code: 0, message: message() }), Kind::Network);
    assert_eq!(kind(Reason::NotSent { reject_code: 4, message: message() }), Kind::Refused);
    assert_eq!(kind(Reason::Rejected { reject_code: 3, message: message() }), Kind::Network);
    assert_eq!(kind(Reason::Rejected { reject_code: 2, message: message() }), Kind::Refused);
    assert_eq!(kind(Reason::NoAnswer { message: message() }), Kind::Network);
    assert_eq!(kind(Reason::KeyEmpty), Kind::Local);
    assert_eq!(kind(Reason::PreconditionFailed { found: None }), Kind::Refused);
}

#[test]
fn people_are_told_in_words_and_once_that_nothing_was_done() {
    let told = |reason: Reason| Failure::from(NotDone { reason }).to_string();
    assert_eq!(told(Reason::PreconditionFailed { found: None }), "not done: there is no record");
    let unreached = Reason::NotSent { reject_code: 0, message: "refused".to_string() };
    assert_eq!(told(unreached), "the network is not reached: refused");
    let collides = told(Reason::KeyCollides { keys_max: 8 });
    assert!(collides.starts_with("not done: 8 other keys") && !collides.contains('{'), "{collides}");
    assert!(!told(Reason::Upload(UploadFault::Aborted)).contains("Aborted"));
}

#[test]
fn an_error_around_a_failure_keeps_its_kind_and_says_both() {
    let around = anyhow::Error::from(Failure::network("no answer")).context("the router");
    let failure = Failure::from(around);
    assert_eq!((failure.kind, failure.to_string()), (Kind::Network, "the router: no answer".to_string()));
    assert_eq!(Failure::from(anyhow::anyhow!("no file")).kind, Kind::Local);
}
