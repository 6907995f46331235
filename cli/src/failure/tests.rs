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
