//! Networks driven without a server: schedules, faults, conservation, the rounds that things take.

use std::collections::BTreeMap;

use candid::{Decode, Encode, Principal};
use canopy_simulator::chance::{Fault, Schedule};
use canopy_simulator::errors::UserError;
use canopy_simulator::instance::*;
use ic_management_canister_types::{CanisterInstallMode, InstallCodeArgs, ProvisionalCreateCanisterWithCyclesArgs};

use crate::conformance::program::{Ask, P, machine, machine_with, p, plain, within};

const ANONYMOUS: Principal = Principal::anonymous();
const MANAGEMENT: Principal = Principal::management_canister();
const SECOND: u64 = 1_000_000_000;

/// A network, and canisters on it.
pub struct Net(pub Instance);

impl Net {
    pub fn new(subnets: usize, seed: u64, schedule: Schedule) -> Self {
        let subnet = SubnetSpec {
            kind: SubnetKind::Application,
            instructions: InstructionProfile::Production,
            cost_schedule: CostSchedule::Normal,
            admins: vec![],
        };
        let config = NetworkConfig { subnets: vec![subnet; subnets], initial_time_nanos: None, seed, schedule };
        Net(Instance::new(config).expect("a valid configuration"))
    }

    pub fn submit(
        &mut self,
        canister: Principal,
        effective: EffectivePrincipal,
        method: &str,
        payload: Vec<u8>,
    ) -> MessageId {
        let call = CanisterCall { sender: ANONYMOUS, canister_id: canister, effective, method: method.into(), payload };
        self.0.submit_ingress(call).expect("well formed").expect("accepted")
    }

    pub fn call(&mut self, canister: Principal, program: P) -> Result<Vec<u8>, UserError> {
        let id = self.submit(canister, EffectivePrincipal::None, "update", program.0);
        self.0.await_ingress(&id).expect("answered")
    }

    pub fn install(&mut self, subnet: usize, wasm: Vec<u8>) -> Principal {
        let id = self.create(subnet);
        self.install_on(id, wasm).expect("installed");
        id
    }

    pub fn create(&mut self, subnet: usize) -> Principal {
        let subnet = *self.0.topology().subnets.keys().nth(subnet).expect("a subnet");
        let create = ProvisionalCreateCanisterWithCyclesArgs {
            amount: Some(1_000_000_000_000_000u64.into()),
            ..Default::default()
        };
        let effective = EffectivePrincipal::SubnetId(subnet);
        let method = "provisional_create_canister_with_cycles";
        let id = self.submit(MANAGEMENT, effective, method, Encode!(&create).expect("candid"));
        let reply = self.0.await_ingress(&id).expect("answered").expect("created");
        Decode!(&reply, ic_management_canister_types::CanisterIdRecord).expect("candid").canister_id
    }

    pub fn install_on(&mut self, id: Principal, wasm: Vec<u8>) -> Result<(), UserError> {
        let args = InstallCodeArgs {
            mode: CanisterInstallMode::Install,
            canister_id: id,
            wasm_module: wasm,
            arg: vec![],
            sender_canister_version: None,
        };
        let message = self.submit(
            MANAGEMENT,
            EffectivePrincipal::CanisterId(id),
            "install_code",
            Encode!(&args).expect("candid"),
        );
        self.0.await_ingress(&message).expect("answered").map(|_| ())
    }

    pub fn numbers(&mut self, canister: Principal, slots: &[u64]) -> Vec<u64> {
        let program = slots.iter().fold(p(), |it, slot| it.get(*slot).push()).reply();
        let call = CanisterCall {
            sender: ANONYMOUS,
            canister_id: canister,
            effective: EffectivePrincipal::None,
            method: "query".into(),
            payload: program.0,
        };
        let bytes = self.0.query(call).expect("routed").expect("answered");
        bytes.chunks(8).map(|chunk| u64::from_le_bytes(chunk.try_into().expect("8 bytes"))).collect()
    }

    fn rounds(&mut self, id: MessageId) -> u64 {
        for round in 0..100 {
            if matches!(self.0.ingress_status(&id, None), Ok(IngressStatus::Replied(_) | IngressStatus::Rejected(_))) {
                return round;
            }
            self.0.tick();
        }
        panic!("no answer in 100 rounds");
    }
}

/// Runs a test on a thread with the stack that deep Wasm needs.
pub fn on_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(test).expect("a thread");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Four canisters on two subnets call each other, some with deadlines and cycles; a heartbeat and time go on.
/// Counts answers in slots: 1 replies, 2 rejects, 3 failed performs, 4 calls tried, 5 rejects of code 6.
fn traffic(seed: u64, schedule: Schedule, faults: &[Fault], timeout: u64) -> (Net, Vec<Principal>) {
    let mut net = Net::new(2, seed, schedule);
    let ids: Vec<Principal> = (0..4).map(|n| net.install(n % 2, machine_with(&["heartbeat"]))).collect();
    for fault in faults {
        net.0.set_fault_rate(*fault, 100_000);
    }
    for round in 0..20u64 {
        for (index, id) in ids.iter().enumerate() {
            let callee = ids[(index + 1 + round as usize % 3) % ids.len()];
            let on_reject = p().inc(2).reject_code().add(-6i64 as u64).ifz(p().inc(5));
            let mut call = p().inc(4).call(callee, "update", p().inc(1), on_reject);
            call = call.lit(p().konst(3).accept().msg_reply().0).data().konst(7).cycles();
            if timeout > 0 {
                call = call.konst(timeout).best_effort();
            }
            let program = call.perform().ifnz(p().inc(3)).msg_reply();
            net.submit(*id, EffectivePrincipal::None, "update", program.0);
        }
        net.0.tick();
        net.0.check_invariants();
        let now = net.0.time_nanos();
        net.0.set_time(now + SECOND).expect("forward");
    }
    for fault in faults {
        net.0.set_fault_rate(*fault, 0);
    }
    for _ in 0..10 {
        let now = net.0.time_nanos();
        net.0.set_time(now + 40 * SECOND).expect("forward");
        net.0.tick();
    }
    net.0.check_invariants();
    (net, ids)
}

const MESSAGE_FAULTS: [Fault; 10] = [
    Fault::ReplyLost,
    Fault::RequestLost,
    Fault::RequestDelayed,
    Fault::RejectedBeforeDelivery,
    Fault::CallPerformFails,
    Fault::UnknownNotRun,
    Fault::UnknownRunsLater,
    Fault::UnknownHasRun,
    Fault::ResponseShed,
    Fault::CyclesLost,
];

/// Sums the slots of all canisters.
fn sums(net: &mut Net, ids: &[Principal]) -> Vec<u64> {
    let mut sums = vec![0; 5];
    for id in ids {
        for (sum, n) in sums.iter_mut().zip(net.numbers(*id, &[1, 2, 3, 4, 5])) {
            *sum += n;
        }
    }
    sums
}

#[test]
fn same_seed_gives_same_run() {
    on_stack(|| {
        let chain = |seed| traffic(seed, Schedule::Shuffled, &MESSAGE_FAULTS, 30).0.0.events().chain();
        assert_eq!(chain(1), chain(1));
        assert_ne!(chain(1), chain(2));
    });
}

#[test]
fn bounded_calls_get_one_answer_each_under_all_faults() {
    on_stack(|| {
        for seed in 0..5 {
            let (mut net, ids) = traffic(seed, Schedule::Shuffled, &MESSAGE_FAULTS, 30);
            let sums = sums(&mut net, &ids);
            assert_eq!(sums[0] + sums[1] + sums[2], sums[3], "seed {seed}: {sums:?}");
            assert!(sums[4] > 0, "seed {seed}: faults cause unknown outcomes");
        }
    });
}

#[test]
fn guaranteed_calls_never_end_unknown() {
    on_stack(|| {
        for seed in 0..5 {
            let (mut net, ids) = traffic(seed, Schedule::Shuffled, &MESSAGE_FAULTS, 0);
            let sums = sums(&mut net, &ids);
            assert_eq!(sums[0] + sums[1] + sums[2], sums[3], "seed {seed}: {sums:?}");
            assert_eq!(sums[4], 0, "seed {seed}");
        }
    });
}

#[test]
fn without_faults_every_call_is_answered() {
    on_stack(|| {
        for schedule in [Schedule::Plain, Schedule::Shuffled] {
            let (mut net, ids) = traffic(3, schedule, &[], 30);
            assert_eq!(sums(&mut net, &ids), [80, 0, 0, 80, 0]);
        }
    });
}

#[test]
fn counters_tell_messages_and_instructions() {
    on_stack(|| {
        let mut net = Net::new(1, 0, Schedule::Plain);
        let a = net.install(0, machine());
        let before = net.0.events().counters(&a);
        for _ in 0..3 {
            net.call(a, p().msg_reply()).expect("replies");
        }
        let after = net.0.events().counters(&a);
        assert_eq!(after.messages - before.messages, 3);
        assert!(after.instructions > before.instructions);
        assert_eq!(Some(after.balance), net.0.cycles(&a));
    });
}

#[test]
fn chain_of_self_calls_gets_about_100_in_a_round() {
    on_stack(|| {
        let mut net = Net::new(1, 0, Schedule::Plain);
        let a = net.install(0, machine());
        // The callback calls again, for ever: hook 7 is the loop.
        let turn = p().inc(1).again(7);
        let body = p().call(a, "update", turn.clone(), turn).lit(p().msg_reply().0).data().perform();
        net.submit(a, EffectivePrincipal::None, "update", p().hook(7, body).again(7).0);
        net.0.tick();
        let first = net.numbers(a, &[1])[0];
        net.0.tick();
        let second = net.numbers(a, &[1])[0] - first;
        assert!((99..=100).contains(&first) && second == 100, "{first} and {second}");
    });
}

#[test]
fn long_message_takes_as_many_rounds_as_slices_and_leaves_nothing_before() {
    on_stack(|| {
        let mut net = Net::new(1, 0, Schedule::Plain);
        let a = net.install(0, machine());
        let program = p().inc(1).spin(600_000_000).msg_reply();
        let id = net.submit(a, EffectivePrincipal::None, "update", program.0);
        net.0.tick();
        net.0.check_invariants();
        assert_eq!(net.numbers(a, &[1]), [0], "4.8 G instructions are three slices");
        assert_eq!(net.rounds(id), 2);
        assert_eq!(net.numbers(a, &[1]), [1]);
        net.0.check_invariants();
    });
}

#[test]
fn heap_delta_debit_makes_the_next_message_wait() {
    on_stack(|| {
        let mut net = Net::new(1, 0, Schedule::Plain);
        for (mib, rounds) in [(32, 1), (400, 5)] {
            let a = net.install(0, machine());
            let grown = p().konst(mib * 16).stable_grow();
            let write = (0..mib).fold(grown, |it, n| it.clear().fill(1 << 20, 1).stable_write(n << 20)).clear().reply();
            net.call(a, write).expect("writes");
            let id = net.submit(a, EffectivePrincipal::None, "update", p().msg_reply().0);
            assert_eq!(net.rounds(id), rounds, "{mib} MiB");
        }
    });
}

#[test]
fn call_between_subnets_takes_two_rounds() {
    on_stack(|| {
        let mut net = Net::new(2, 0, Schedule::Plain);
        let (a, b) = (net.install(0, machine()), net.install(1, machine()));
        let mut seen = BTreeMap::new();
        for (from, to) in [(a, b), (b, a)] {
            let program = p().ask(to, "update", p().msg_reply(), plain());
            let id = net.submit(from, EffectivePrincipal::None, "update", program.0);
            *seen.entry(net.rounds(id)).or_insert(0) += 1;
        }
        // The subnet that comes first in a round waits one longer for what the other sends.
        assert!(seen.keys().all(|rounds| (2..=3).contains(rounds)), "{seen:?}");
        net.0.check_invariants();
    });
}

#[test]
fn deadline_passes_a_full_second_later() {
    on_stack(|| {
        let mut net = Net::new(2, 0, Schedule::Plain);
        let (a, b) = (net.install(0, machine()), net.install(1, machine()));
        net.0.set_fault_rate(Fault::RequestLost, 1_000_000);
        let start = net.0.time_nanos() / SECOND * SECOND + SECOND;
        net.0.set_time(start).expect("forward");
        let program = p().ask(b, "update", p().msg_reply(), Ask { cycles: 9, ..within(10) });
        let id = net.submit(a, EffectivePrincipal::None, "update", program.0);
        net.0.tick();
        net.0.tick();
        net.0.set_time(start + 11 * SECOND - 1).expect("forward");
        net.0.tick();
        assert!(matches!(net.0.ingress_status(&id, None), Ok(IngressStatus::Processing)));
        // The round above ended at 11 s less 1 ns; the next one begins with the eleventh second.
        net.0.tick();
        let reply = net.0.await_ingress(&id).expect("answered").expect("a report");
        assert_eq!((reply[0], reply[1]), (b'J', 6));
        net.0.check_invariants();
    });
}

#[test]
fn ingress_expires_unless_it_starts_in_time() {
    on_stack(|| {
        let mut net = Net::new(1, 0, Schedule::Plain);
        let a = net.install(0, machine());
        let id = net.submit(a, EffectivePrincipal::None, "update", p().msg_reply().0);
        let now = net.0.time_nanos();
        net.0.set_time(now + 301 * SECOND).expect("forward");
        let error = net.0.await_ingress(&id).expect("answered").expect_err("expired");
        assert!(error.message.contains("timed out waiting to start executing"), "{error:?}");
        net.0.set_time(now + 302 * SECOND + 300 * SECOND).expect("forward");
        net.0.tick();
        assert_eq!(net.0.ingress_status(&id, None), Ok(IngressStatus::Unknown));
    });
}

#[test]
fn unpaid_storage_uninstalls() {
    on_stack(|| {
        let mut net = Net::new(1, 0, Schedule::Plain);
        let a = net.install(0, machine());
        net.call(a, p().konst(1_600).stable_grow().konst(u64::MAX).burn().msg_reply()).expect("burns");
        let left = net.0.cycles(&a).expect("exists");
        let now = net.0.time_nanos();
        net.0.set_time(now + 10 * 365 * 86_400 * SECOND).expect("forward");
        net.0.tick();
        assert!(left > 0 && net.0.cycles(&a) == Some(0));
        assert_eq!(net.0.stable_memory(&a), None);
        net.0.check_invariants();
    });
}

#[test]
fn long_installations_take_their_rounds_and_hold_the_canister_back() {
    on_stack(|| {
        let mut net = Net::new(1, 0, Schedule::Plain);
        let module = |loops: u64, end: &str| {
            let text = format!(
                r#"(module (import "ic0" "msg_reply" (func $reply))
                (func (export "canister_init") (local $n i64) (local.set $n (i64.const {loops}))
                    (loop $again (local.set $n (i64.sub (local.get $n) (i64.const 1)))
                        (br_if $again (i64.ne (local.get $n) (i64.const 0)))) {end})
                (func (export "canister_update ask") (call $reply))
                (func (export "canister_query old") (call $reply)))"#
            );
            wat::parse_str(text).expect("valid text")
        };
        // Nine instructions a turn: 5.4 G, three slices.
        let (short, long) = (module(1, ""), module(600_000_000, ""));
        let rounds_of = |net: &mut Net, id: Principal, wasm: Vec<u8>| {
            let args = InstallCodeArgs {
                mode: CanisterInstallMode::Reinstall,
                canister_id: id,
                wasm_module: wasm,
                arg: vec![],
                sender_canister_version: None,
            };
            let payload = Encode!(&args).expect("candid");
            let message = net.submit(MANAGEMENT, EffectivePrincipal::CanisterId(id), "install_code", payload);
            (net.rounds(message), message)
        };
        let id = net.install(0, short.clone());
        let (usual, _) = rounds_of(&mut net, id, short);
        let before = net.0.cycles(&id).expect("a canister");
        let (slow, message) = rounds_of(&mut net, id, long);
        assert_eq!(slow, usual + 2);
        assert!(matches!(net.0.ingress_status(&message, None), Ok(IngressStatus::Replied(_))));
        let paid = before - net.0.cycles(&id).expect("a canister");
        assert!((5_400_000_000..5_500_000_000).contains(&paid), "{paid}");
        net.0.check_invariants();
        for _ in 0..5 {
            net.0.tick();
        }
        let (slow, message) = rounds_of(&mut net, id, module(600_000_000, "unreachable"));
        assert_eq!(slow, usual + 2);
        assert!(matches!(net.0.ingress_status(&message, None), Ok(IngressStatus::Rejected(_))));
        net.0.check_invariants();
    });
}
