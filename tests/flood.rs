//! Thousands of calls that arrive together.

use std::rc::Rc;

use candid::Principal;
use canopy_types::codec::{decode, encode};
use canopy_types::roles::{Grant, Role};
use canopy_types::{BusyReason, PutError, PutResult};

use crate::cluster::{Cluster, T, create_canister, cycles_of, put_arguments};
use crate::people::{administrator, owner, person, reader};
use crate::{relay, server};

/// Canisters that call the router; each has 500 places for calls to it.
const CALLERS: usize = 12;

const CALLS: usize = 5_000;

/// Calls where cycles are what is short.
const CALLS_WITHOUT_CYCLES: usize = 1_000;

/// Rounds that are looked at one by one.
const TURNS: usize = 60;

/// What the router's control work is left with.
const RESERVE_CYCLES: u128 = 200_000_000_000;

/// What one call of the control work sets aside of that.
const CONTROL_CALL_CYCLES: u128 = 45_000_000_000;

/// Calls that may be open to one shard.
const OPEN_CALLS_PER_SHARD_MAX: u32 = 400;

struct Flood {
    cluster: Cluster,
    callers: Vec<Principal>,
}

impl Flood {
    fn new(shards: u32, router_cycles: u128) -> Self {
        let pic = Rc::new(server::instance());
        let callers: Vec<Principal> = (0..CALLERS)
            .map(|_| {
                let canister = create_canister(&pic, 100 * T);
                pic.install_canister(canister, relay::wasm(), vec![], Some(owner()));
                canister
            })
            .collect();
        let builder = Cluster::builder().instance(pic).initial_shards(shards).writers(callers.clone());
        Self { cluster: builder.shard_cycles(T).cycles(router_cycles).ready(), callers }
    }

    /// Has the callers put `calls` records, all at once, and gives the answers.
    fn run(&self, calls: usize) -> Vec<PutResult> {
        let pic = &self.cluster.pic;
        let before = self.cluster.status().roles.expect("the router tells of roles").version;
        let submit = |number: usize| {
            let put = encode(&put_arguments(&number.to_be_bytes(), b"value"));
            let argument = relay::argument(self.cluster.router, "put", &put);
            pic.submit_call(self.callers[number % CALLERS], Principal::anonymous(), "call", argument)
                .expect("a relay takes every call")
        };
        let messages: Vec<_> = (0..calls).map(submit).collect();
        // The router's own work goes on: what it decides meanwhile is told to the shards.
        let grant = encode(&Grant::of_everything(person("who comes during the flood"), Role::Reader));
        let grant =
            pic.submit_call(self.cluster.router, administrator(), "grant", grant).expect("the grant is accepted");
        let (mut most_open, mut told) = (0, None);
        for turn in 0..TURNS {
            pic.tick();
            let status = self.cluster.status();
            most_open = most_open.max(status.open_calls);
            // Each shard is told in a call of its own.
            let control = CONTROL_CALL_CYCLES * status.shards.len() as u128;
            assert!(cycles_of(&status.liquid_cycles) >= RESERVE_CYCLES - control, "{status:?}");
            assert!(status.open_calls <= OPEN_CALLS_PER_SHARD_MAX * status.shards.len() as u32);
            assert_eq!(status.alarms, vec![]);
            let version = status.roles.expect("the router tells of roles").version;
            let knows = |shard| self.cluster.info(shard).roles.is_some_and(|roles| roles.version == version);
            if told.is_none() && version > before && self.cluster.shards().into_iter().all(knows) {
                told = Some((turn, status.open_calls));
            }
            if told.is_some() && status.open_calls == 0 {
                break;
            }
        }
        pic.await_call(grant).expect("the grant is answered");
        println!("at most {most_open} calls open; told after {told:?} (turn, calls open)");
        assert!(told.is_some(), "the shards were not told of the grant");
        let answer = |message| {
            let reply = pic.await_call(message).expect("the router answers, and doesn't trap");
            decode(&reply).expect("a put answers what its interface says")
        };
        messages.into_iter().map(answer).collect()
    }

    /// Checks that what was answered done is there, and what was refused is not.
    fn check(&self, answers: &[PutResult]) {
        for (number, answer) in answers.iter().enumerate().step_by(37) {
            let record = self.cluster.get_query(reader(), &number.to_be_bytes()).expect("a reader may ask");
            assert_eq!(record.map(|record| record.version), answer.as_ref().ok().map(|reply| reply.version));
        }
        assert_eq!(self.cluster.status().open_calls, 0);
    }
}

#[test]
fn five_thousand_calls_at_once_are_each_done_or_refused_for_want_of_places() {
    let flood = Flood::new(2, 1_000 * T);
    let answers = flood.run(CALLS);
    let done = answers.iter().filter(|answer| answer.is_ok()).count();
    for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert!(
            matches!(error, PutError::Busy { reason: BusyReason::CallsOpen { .. } | BusyReason::ShardGrows, .. }),
            "{error:?}"
        );
    }
    println!("{done} of {CALLS} done");
    assert!(done >= 400);
    flood.check(&answers);
}

#[test]
fn calls_beyond_the_routers_cycles_are_refused_and_the_reserve_stays() {
    let flood = Flood::new(2, 10 * T);
    let answers = flood.run(CALLS_WITHOUT_CYCLES);
    let done = answers.iter().filter(|answer| answer.is_ok()).count();
    for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        match error {
            PutError::Busy { reason: BusyReason::RouterCycles { available, required }, .. } => {
                assert!(available < required && cycles_of(required) > RESERVE_CYCLES);
            }
            PutError::Busy { reason: BusyReason::CallsOpen { .. } | BusyReason::ShardGrows, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    println!("{done} of {CALLS_WITHOUT_CYCLES} done");
    assert!(done > 0);
    flood.check(&answers);
}
