use std::fs;

use candid::Encode;
use canopy_artifacts::ROUTER_WASM;
use canopy_types::InitArguments;
use serde_json::{Value, json};

use crate::fixture::{Network, text, until};
use crate::management::Management;

/// A transfer that no router has begun: as an argument of the command, and in Candid.
const ID: &str = "11111111111111111111111111111111";
const ID_BLOB: &str = "blob \"\\11\\11\\11\\11\\11\\11\\11\\11\\11\\11\\11\\11\\11\\11\\11\\11\"";

/// Installs a router beside the network's, which waits to be told its shards.
fn new_router(management: &Management) -> String {
    let router = management.create();
    let administrators = Some(vec![management.caller()]);
    let arguments = InitArguments { administrators, without_shards: Some(true), ..InitArguments::default() };
    management.install(router, ROUTER_WASM, Encode!(&arguments).expect("Candid"));
    router.to_text()
}

/// Lists the shards of the network's router, with what they own.
fn shards(network: &Network) -> Vec<Value> {
    let listed = network.done(&["shards", "--json"]);
    listed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Makes a shard the source of a transfer of its whole range.
fn begin_transfer(network: &Network, shard: &Value, target: &str) {
    let hash = |field: &str| u64::from_str_radix(shard[field].as_str().expect("a hash"), 16).expect("a hash");
    let arguments = format!(
        "(record {{ id = {ID_BLOB}; side = variant {{ Source }}; peer = principal \"{target}\"; epoch = 9 : nat64; \
         range = record {{ first = {} : nat64; last = {} : nat64 }} }})",
        hash("first_hash"),
        hash("last_hash")
    );
    let begun = network.done(&["call", shard["shard"].as_str().expect("an id"), "begin_transfer", &arguments]);
    assert!(begun.contains("Ok"), "{begun}");
}

fn wait_until_closed(network: &Network, shard: &str) {
    let arguments = format!("(record {{ id = {ID_BLOB} }})");
    until("closed", || {
        let progress = network.done(&["call", shard, "transfer_progress", &arguments]);
        progress.contains("HandingOver") || progress.contains("Asking")
    });
}

#[test]
fn a_lost_router_is_replaced_and_what_is_left_to_do_is_told() {
    let network = Network::start();
    let management = Management::of(&network);
    for number in 0..20 {
        network.done(&["put", &format!("key {number}"), &format!("value {number}")]);
    }
    network.done(&["roles", "grant", "reader", "everyone", "--prefix", "key"]);
    network.done(&["shard", "merge", "1", "--into", "0"]);
    let kept = network.home.path().join("service.json");
    fs::write(&kept, network.done(&["status", "--json"])).expect("writable");
    let new = new_router(&management);
    let recover = ["recover", "--router", &new, "--from", text(&kept)];
    network.run(&recover).failed(2, &format!("{} loses them ALTHOUGH IT ANSWERS AND SERVES", network.router));
    management.uninstall(network.router.parse().expect("a principal"));
    network.run(&["get", "key 1"]).failed(5, "is no router of Canopy");
    network.run(&["get", "key 1", "--router", &new]).failed(3, "the service is starting");

    let told = network.done(&[&recover[..], &["--yes"]].concat());
    assert!(told.contains("none: a spare") && told.contains("1 shards, and 1 spares"), "{told}");
    assert_eq!(told.matches(&format!("--add-controller {new}")).count(), 2, "{told}");
    for number in 0..20 {
        let got = network.run(&["get", &format!("key {number}"), "--router", &new]);
        assert_eq!(got.output, format!("value {number}").as_bytes(), "{got:?}");
    }
    assert!(network.done(&["roles", "list", "--router", &new]).contains("everyone"));
    network.run(&[&recover[..], &["--yes"]].concat()).failed(3, "the router has 2 shards");
}

#[test]
fn shards_that_make_no_deployment_are_not_taken_over() {
    let network = Network::start();
    let management = Management::of(&network);
    let new = new_router(&management);
    let ids: Vec<String> =
        shards(&network).iter().map(|shard| shard["shard"].as_str().expect("an id").to_string()).collect();
    let [one, other] = &ids[..] else { panic!("two shards: {ids:?}") };
    let recover =
        |router: &str, shards: &[&str]| network.run(&[&["recover", "--yes", "--router", router], shards].concat());
    recover(&network.router, &[one, other]).failed(3, "the router has 2 shards");
    recover(&new, &[one, "nobody"]).failed(2, "`nobody` is no principal");
    recover(&new, &["--from", "/no/such/file"]).failed(2, "/no/such/file");
    recover(&new, &[one, &network.router]).failed(5, "is no shard");
    recover(&new, &[one, other, "--identity", "anonymous"]).failed(3, "may not");
    // Nothing was given away by all this.
    network.done(&["put", "key", "value"]);
    assert!(network.done(&["status"]).contains("2 of 2 open"));

    recover(&new, &[one]).failed(3, "a shard is missing in the list");
    let reply = recover(&new, &[one, other, one, "--json"]).done();
    let reply: Value = serde_json::from_str(&reply).expect("JSON");
    assert_eq!((&reply["serving"], &reply["spares"]), (&json!(2), &json!(0)));
    assert_eq!(reply["not_controlled"].as_array().expect("a list").len(), 2);
    assert_eq!(network.run(&["get", "key", "--router", &new]).output, b"value");
}

#[test]
fn a_range_whose_target_is_lost_is_opened_again_when_that_is_wanted() {
    let network = Network::start();
    let management = Management::of(&network);
    let (shard, target) = (&shards(&network)[0], management.create().to_text());
    let source = shard["shard"].as_str().expect("an id");
    let abandon = |more: &[&str]| network.run(&[&["transfer", "abandon", ID], more].concat());
    abandon(&["--yes"]).failed(3, "the router knows no transfer");
    abandon(&["--yes", "--source", "0"]).failed(3, "takes no part in transfer");
    begin_transfer(&network, shard, &target);
    wait_until_closed(&network, source);
    abandon(&["--source", "0"]).failed(2, "is lost for ever");
    abandon(&["--source", "0", "--yes", "--identity", "anonymous"]).failed(3, "");
    let told = abandon(&["--source", source, "--yes"]).done();
    assert!(told.contains("serves") && told.contains("with about 0 records"), "{told}");
    abandon(&["--source", source, "--yes"]).failed(3, "was cancelled");
    for number in 0..20 {
        network.done(&["put", &format!("key {number}"), "value"]);
    }
}

#[test]
fn a_range_whose_target_may_come_back_stays_closed() {
    let network = Network::start();
    let shard = &shards(&network)[0];
    // A canister that has code, and says nothing of use.
    begin_transfer(&network, shard, &network.router);
    let source = shard["shard"].as_str().expect("an id");
    wait_until_closed(&network, source);
    network.run(&["transfer", "abandon", ID, "--source", source, "--yes"]).failed(3, "is not lost");
    let progress = network.done(&["call", source, "transfer_progress", &format!("(record {{ id = {ID_BLOB} }})")]);
    assert!(!progress.contains("Ended"), "{progress}");
}
