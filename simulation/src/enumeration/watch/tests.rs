use canopy_simulator::replica::state::CallbackId;

use super::*;

fn id(number: u8) -> Principal {
    Principal::from_slice(&[number])
}

fn name(callback: u64) -> CallName {
    CallName { caller: id(1), callback: CallbackId(callback) }
}

fn request(callback: u64) -> Occasion<'static> {
    Occasion::Request { call: name(callback), callee: id(2), method: "apply", is_bounded: true }
}

fn execution(call: Option<CallName>) -> Occasion<'static> {
    Occasion::Execution { kind: EventKind::Update, canister: id(2), method: "apply", call }
}

#[test]
fn a_fault_comes_once_at_the_message_of_its_number() {
    let watch = Watch::new(Some(Placing::AtExecution(1, Fault::OutOfInstructions)), None);
    let rule = watch.rule();
    assert_eq!(rule.decide(&execution(None)), []);
    assert!(!watch.is_placed());
    assert_eq!(rule.decide(&execution(None)), [Fault::OutOfInstructions]);
    assert_eq!(rule.decide(&execution(None)), []);
    assert!(watch.is_placed());
}

#[test]
fn the_answer_is_lost_that_the_message_of_its_number_gives() {
    let watch = Watch::new(Some(Placing::AtResponse(1, Fault::ReplyLost)), None);
    let rule = watch.rule();
    for callback in [7, 8] {
        rule.decide(&request(callback));
        assert_eq!(rule.decide(&execution(Some(name(callback)))), []);
    }
    assert_eq!(rule.decide(&Occasion::Response { call: name(7) }), []);
    assert_eq!(rule.decide(&Occasion::Response { call: name(8) }), [Fault::ReplyLost]);
    assert_eq!(rule.decide(&Occasion::Response { call: name(8) }), [], "only once");
}

#[test]
fn a_request_that_finds_no_place_keeps_its_number() {
    let watch = Watch::new(Some(Placing::AtRequest(1, &[Fault::RequestLost])), None);
    let rule = watch.rule();
    for callback in [7, 7] {
        assert_eq!(rule.decide(&request(callback)), []);
    }
    assert_eq!(rule.decide(&request(8)), [Fault::RequestLost]);
}

#[test]
fn the_round_ends_before_the_message_of_its_number() {
    let watch = Watch::new(None, Some(2));
    let rule = watch.rule();
    assert_eq!(rule.decide(&execution(None)), []);
    assert!(!watch.is_paused());
    assert_eq!(rule.decide(&execution(None)), [Fault::RoundEnds]);
    assert!(watch.is_paused());
    assert_eq!(rule.decide(&execution(None)), []);
    assert_eq!(watch.number(), 3);
}

#[test]
fn what_ran_is_kept_with_its_call_until_it_is_taken() {
    let watch = Watch::default();
    let rule = watch.rule();
    rule.decide(&request(7));
    rule.decide(&execution(Some(name(7))));
    assert!(watch.any(|ran| ran.call.as_ref().is_some_and(|call| call.number == 0 && call.method == "apply")));
    assert_eq!(watch.take().len(), 1);
    rule.decide(&execution(None));
    assert_eq!((watch.take().len(), watch.number()), (0, 2));
}
