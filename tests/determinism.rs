//! The same seed gives the same run.

use std::rc::Rc;

use canopy_simulator::chance::Schedule;
use canopy_simulator::server::{Server, ServerOptions};

use crate::cluster::Cluster;
use crate::people::{administrator, writer};
use crate::server;

/// What a run leaves: the hash over its events, and how many there were.
type Trace = ([u8; 32], u64);

/// Runs the same work on a simulator of its own.
fn run(seed: u64, schedule: Schedule) -> Trace {
    let options = ServerOptions { seed, schedule, ..ServerOptions::default() };
    let server = Server::start(options).expect("a free port for the simulator");
    let instance = Rc::new(server::instance_at(&server.url()));
    let cluster = Cluster::builder().instance(instance).initial_shards(3).ready();
    let messages: Vec<_> = (0..100_u32).map(|number| cluster.submit_put(&number.to_be_bytes(), b"value")).collect();
    for message in messages {
        cluster.await_put(message).expect("a hundred puts at once are served");
    }
    for number in 0..50_u32 {
        cluster.remove(&number.to_be_bytes());
    }
    let shard = cluster.shards()[0];
    cluster.stop(shard, administrator());
    // Whether the stopped shard owns the key depends on the seed; both answers are part of the run.
    let _ = cluster.put(writer(), b"key", b"value");
    cluster.start(shard, administrator());
    cluster.upgrade_router(canopy_artifacts::ROUTER_WASM);
    cluster.store(b"key", b"value");
    let instance = cluster.pic.instance_id() as u64;
    server
        .on_instance(instance, |instance| {
            instance.check_invariants();
            (instance.events().chain(), instance.events().len())
        })
        .expect("the instance lives as long as the cluster")
}

#[test]
fn the_same_seed_gives_the_same_events() {
    if server::is_not_applicable("the_same_seed_gives_the_same_events") {
        return;
    }
    let trace = run(7, Schedule::Plain);
    assert!(trace.1 > 300, "the run has events: {}", trace.1);
    assert_eq!(run(7, Schedule::Plain), trace);
}

#[test]
fn the_same_seed_gives_the_same_events_in_a_shuffled_schedule() {
    if server::is_not_applicable("the_same_seed_gives_the_same_events_in_a_shuffled_schedule") {
        return;
    }
    assert_eq!(run(7, Schedule::Shuffled), run(7, Schedule::Shuffled));
}

#[test]
fn another_seed_gives_other_events() {
    if server::is_not_applicable("another_seed_gives_other_events") {
        return;
    }
    assert_ne!(run(7, Schedule::Shuffled).0, run(8, Schedule::Shuffled).0);
}
