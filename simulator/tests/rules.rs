//! Faults placed at chosen messages.

use std::sync::{Arc, Mutex};

use candid::Principal;
use canopy_simulator::chance::{Fault, Schedule};
use canopy_simulator::event_log::EventKind;
use canopy_simulator::instance::*;
use canopy_simulator::rules::{CallName, Occasion, Rule};

use crate::conformance::program::{machine, p};
use crate::network::{Net, on_stack};

/// Calls of the one message that the tests look at, and how long each waits, in seconds.
const CALLS: u64 = 3;
const TIMEOUT_SECONDS: u64 = 20;
const SECOND_NANOS: u64 = 1_000_000_000;

/// A caller and a callee. The caller counts in its slots: 1 replies, 2 rejects, 3 failed performs; the callee in 1.
fn pair() -> (Net, Principal, Principal) {
    let mut net = Net::new(1, 0, Schedule::Plain);
    let (a, b) = (net.install(0, machine()), net.install(0, machine()));
    (net, a, b)
}

/// Has the caller make its calls, and lets their deadlines pass.
fn call_all(net: &mut Net, a: Principal, b: Principal) {
    let mut program = p();
    for _ in 0..CALLS {
        let call = program.call(b, "update", p().inc(1), p().inc(2)).lit(p().inc(1).msg_reply().0).data();
        program = call.konst(TIMEOUT_SECONDS).best_effort().perform().ifnz(p().inc(3));
    }
    net.submit(a, EffectivePrincipal::None, "update", program.msg_reply().0);
    for _ in 0..2 * TIMEOUT_SECONDS {
        net.0.tick();
        net.0.check_invariants();
        let now = net.0.time_nanos();
        net.0.set_time(now + SECOND_NANOS).expect("forward");
    }
}

/// Makes a rule that places a fault at the second call to the callee.
fn at_the_second_call(callee: Principal, fault: Fault) -> Rule {
    let mut seen: Vec<CallName> = Vec::new();
    Rule::new(move |occasion| {
        let call = match occasion {
            Occasion::Request { call, callee: of, .. } if *of == callee => {
                if !seen.contains(call) {
                    seen.push(*call);
                }
                *call
            }
            Occasion::Response { call } | Occasion::Execution { call: Some(call), .. } => *call,
            _ => return Vec::new(),
        };
        let is_at_callee = !matches!(occasion, Occasion::Execution { canister, .. } if *canister != callee);
        if seen.get(1) == Some(&call) && is_at_callee { vec![fault] } else { Vec::new() }
    })
}

#[test]
fn a_fault_meets_the_message_at_which_it_is_placed_and_no_other() {
    on_stack(|| {
        // Replies and rejects of the caller, runs of the callee.
        let cases = [
            (Fault::ReplyLost, [2, 1, 3]),
            (Fault::UnknownHasRun, [2, 1, 3]),
            (Fault::ResponseShed, [2, 1, 3]),
            (Fault::RequestLost, [2, 1, 2]),
            (Fault::UnknownNotRun, [2, 1, 2]),
            (Fault::UnknownRunsLater, [2, 1, 3]),
            (Fault::RequestDelayed, [3, 0, 3]),
            (Fault::RejectedBeforeDelivery, [2, 1, 2]),
            (Fault::OutOfInstructions, [2, 1, 2]),
            // Nothing that is due makes this one possible.
            (Fault::TimerLate, [3, 0, 3]),
        ];
        for (fault, expected) in cases {
            let (mut net, a, b) = pair();
            net.0.set_rule(Some(at_the_second_call(b, fault)));
            call_all(&mut net, a, b);
            let (of_caller, of_callee) = (net.numbers(a, &[1, 2, 3]), net.numbers(b, &[1]));
            assert_eq!([of_caller[0], of_caller[1], of_callee[0]], expected, "{fault:?}");
            assert_eq!(of_caller[2], 0, "{fault:?}");
            assert_eq!(net.0.faults_fired(fault), u64::from(fault != Fault::TimerLate), "{fault:?}");
        }
    });
}

#[test]
fn the_first_call_of_a_chosen_message_is_not_performed() {
    on_stack(|| {
        let (mut net, a, b) = pair();
        net.0.set_rule(Some(Rule::new(move |occasion| match occasion {
            Occasion::Execution { kind: EventKind::Update, canister, .. } if *canister == a => {
                vec![Fault::CallPerformFails]
            }
            _ => Vec::new(),
        })));
        call_all(&mut net, a, b);
        assert_eq!(net.numbers(a, &[1, 2, 3]), [2, 0, 1]);
    });
}

#[test]
fn a_round_ends_after_the_chosen_message_and_the_next_one_goes_on() {
    on_stack(|| {
        // Executions of the first message: the caller's, three of the callee, three callbacks.
        for chosen in 0..1 + 2 * CALLS {
            let (mut net, a, b) = pair();
            let log = Arc::new(Mutex::new(Vec::new()));
            let seen = log.clone();
            net.0.set_rule(Some(Rule::new(move |occasion| {
                let Occasion::Execution { kind, canister, .. } = occasion else { return Vec::new() };
                let mut seen = seen.lock().expect("nobody panics");
                seen.push((*kind, *canister));
                if seen.len() as u64 == chosen + 1 { vec![Fault::RoundEnds] } else { Vec::new() }
            })));
            let before = net.0.events().len();
            let mut first_round = None;
            let mut program = p();
            for _ in 0..CALLS {
                program =
                    program.call(b, "update", p().inc(1), p().inc(2)).lit(p().inc(1).msg_reply().0).data().perform();
            }
            net.submit(a, EffectivePrincipal::None, "update", program.msg_reply().0);
            for _ in 0..10 {
                net.0.tick();
                first_round.get_or_insert(net.0.events().len() - before);
            }
            assert_eq!(first_round, Some(chosen + 1), "the round has as many messages as were chosen");
            assert_eq!(net.numbers(a, &[1, 2]), [CALLS, 0], "the rest comes later");
            assert_eq!(log.lock().expect("nobody panics").len() as u64, 1 + 2 * CALLS);
        }
    });
}

#[test]
fn a_canister_that_is_full_gets_no_memory_until_it_is_not() {
    on_stack(|| {
        let (mut net, a, b) = pair();
        let grow = |net: &mut Net, of: Principal| {
            net.call(of, p().konst(1).stable_grow().push().reply()).map(|reply| reply[..] != [0xff; 8])
        };
        net.0.set_canister_full(&a, true);
        assert_eq!(grow(&mut net, a), Ok(false));
        assert_eq!(grow(&mut net, b), Ok(true), "others get some");
        net.0.set_canister_full(&a, false);
        assert_eq!(grow(&mut net, a), Ok(true));
        net.0.check_invariants();
    });
}
