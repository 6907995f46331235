use serde_json::{Value, json};

use crate::fixture::Network;

/// Lines of JSON.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_shard_is_split_and_merged_and_nothing_is_missing() {
    let network = Network::start();
    for number in 0..20 {
        network.done(&["put", &format!("key {number}"), &format!("value {number}")]);
    }
    assert!(network.done(&["transfer", "list"]).lines().count() == 1, "the heading alone");
    let before = lines(&network.done(&["shards", "--json"]));
    let told = network.done(&["shard", "split", "0"]);
    assert!(told.starts_with("shard 0 has handed "), "{told}");
    let after = lines(&network.done(&["shards", "--json"]));
    assert_eq!(after.len(), before.len() + 1);
    let shown = network.json(&["shard", "show", after[1]["shard"].as_str().expect("an id")]);
    assert_eq!((&shown["stage"], &shown["transfer"]), (&json!("Open"), &json!(null)));
    assert_eq!(shown["first_hash"], after[1]["first_hash"]);
    let new = shown["index"].to_string();

    let merged = network.json(&["shard", "merge", &new, "--into", "0"]);
    assert_eq!((&merged["stage"], &merged["target"]), (&json!("Done"), &json!(0)));
    assert!(network.done(&["shard", "show", &new]).contains("none: a spare"));
    assert_eq!(lines(&network.done(&["shards", "--json"])).len(), before.len());
    for number in 0..20 {
        assert_eq!(network.run(&["get", &format!("key {number}")]).output, format!("value {number}").as_bytes());
    }
    let listed = lines(&network.done(&["transfer", "list", "--json"]));
    assert_eq!(listed.iter().filter(|transfer| transfer["stage"] == "Done").count(), 2);

    let detached = network.json(&["shard", "split", "0", "--at", "1000000000000000", "--detach"]);
    let id = detached["transfer"].as_str().expect("an id");
    // It may have changed hands by then; either is told.
    let run = network.run(&["transfer", "cancel", id, "--yes"]);
    assert!(matches!(run.code, 0 | 1 | 3), "{run:?}");
    assert!(network.done(&["transfer", "list"]).contains(id));
}

#[test]
fn a_shard_is_retired_and_what_it_owned_is_its_neighbour_s() {
    let network = Network::start_with(&["--shards", "3"]);
    for number in 0..20 {
        network.done(&["put", &format!("key {number}"), &format!("value {number}")]);
    }
    network.run(&["shard", "retire", "1"]).failed(2, "nobody can be asked: retire shard 1");
    let told = network.done(&["shard", "retire", "1", "--into", "2", "--yes"]);
    assert!(told.contains("shard 1 has handed") && told.contains("to shard 2"), "{told}");
    assert!(told.contains("gives its memory back"), "{told}");
    assert!(network.done(&["shard", "show", "1"]).contains("none: a spare"));
    // It owns nothing any more, so nothing moves.
    assert_eq!(network.json(&["shard", "retire", "1", "--leave", "--yes"]), json!({ "transfer": null }));
    let gone = network.json(&["shard", "retire", "0", "--leave", "--yes"]);
    assert_eq!((&gone["stage"], &gone["source"], &gone["target"]), (&json!("Done"), &json!(0), &json!(2)));
    network.run(&["shard", "retire", "2", "--yes"]).failed(3, "owns everything");
    for number in 0..20 {
        assert_eq!(network.run(&["get", &format!("key {number}")]).output, format!("value {number}").as_bytes());
    }
}

#[test]
fn moves_that_can_t_be_are_refused_with_the_reason() {
    let network = Network::start();
    network.run(&["shard", "split", "9"]).failed(3, "the router has no shard 9");
    network.run(&["shard", "show", "nobody"]).failed(2, "no principal");
    network.run(&["shard", "show", "aaaaa-aa"]).failed(3, "the router has no shard aaaaa-aa");
    network.run(&["shard", "split", "0", "--at", "xyz"]).failed(2, "is no hash");
    network.run(&["shard", "split", "0", "--at", "0"]).failed(3, "can't be cut there");
    network.run(&["shard", "merge", "0", "--into", "0"]).failed(3, "don't touch");
    network.run(&["shard", "retire", "9", "--yes"]).failed(3, "the router has no shard 9");
    network.run(&["shard", "retire", "0", "--into", "0", "--yes"]).failed(3, "don't touch");
    network.run(&["transfer", "abandon", "12", "--yes"]).failed(2, "is no transfer");
    network.run(&["transfer", "cancel", "12", "--yes"]).failed(2, "is no transfer");
    network.run(&["transfer", "cancel", &"12".repeat(16), "--yes"]).failed(3, "no such transfer runs");
    network.run(&["transfer", "cancel", &"12".repeat(16)]).failed(2, "nobody can be asked");
    network.run(&["shard", "split", "0", "--identity", "anonymous"]).failed(3, "");
}

#[test]
fn alarms_are_shown_and_only_those_that_are_there_are_settled() {
    let network = Network::start();
    assert_eq!(network.done(&["alarm", "list"]), "no alarms\n");
    assert_eq!(network.done(&["alarm", "list", "--json"]), "");
    network.run(&["alarm", "resolve", "--try-again", "--yes"]).failed(3, "there is no such alarm");
    network.run(&["alarm", "resolve", "--shard", "0", "--adopt", "x", "--yes"]).failed(2, "no principal");
    assert_eq!(network.run(&["alarm", "resolve"]).code, 2);
}
