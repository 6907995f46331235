use std::fs;

use serde_json::{Value, json};

use crate::fixture::{Network, command, run, text};

/// The longest value.
const VALUE_BYTES_MAX: usize = 1024 * 1024;

#[test]
fn what_is_put_is_got_until_it_is_deleted() {
    let network = Network::start();
    assert!(network.done(&["put", "greeting", "hello"]).starts_with("stored greeting as version "));
    assert_eq!(network.run(&["get", "greeting"]).output, b"hello");
    assert_eq!(network.run(&["get", "greeting", "--query"]).output, b"hello");
    let record = network.json(&["get", "greeting"]);
    assert_eq!((&record["key"], &record["value_base64"]), (&json!("greeting"), &json!("aGVsbG8=")));
    let version = record["version"].as_u64().expect("a number").to_string();
    network.run(&["put", "greeting", "x", "--if-absent"]).failed(3, &format!("with version {version}"));
    network.done(&["put", "greeting", "newer", "--if-version", &version]);
    network.run(&["put", "greeting", "x", "--if-version", &version]).failed(3, "the record is there");
    network.run(&["put", "nothing", "x", "--if-present"]).failed(3, "there is no record");
    network.run(&["delete", "greeting"]).failed(2, "--yes");
    assert_eq!(network.run(&["get", "greeting"]).output, b"newer");
    network.done(&["delete", "greeting", "--yes"]);
    network.run(&["get", "greeting"]).failed(1, "nothing is stored under greeting");
    assert_eq!(network.json(&["delete", "greeting", "--yes"])["deleted_version"], Value::Null);
}

#[test]
fn bytes_go_through_files_and_pipes_unchanged() {
    let network = Network::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    let value: Vec<u8> = (0..VALUE_BYTES_MAX).map(|place| (place * 7 / 3) as u8).collect();
    fs::write(&source, &value).expect("writable");
    network.done(&["put", "picture", "--file", text(&source)]);
    network.done(&["get", "picture", "--output", text(&target)]);
    assert!(fs::read(&target).expect("written") == value);
    assert!(network.run(&["get", "picture"]).output == value);

    let piped = b"\0\xff\n\r\x1b no text";
    run(command(network.home.path(), &["put", "00ff0a", "--hex", "--file", "-"]), piped).done();
    assert_eq!(network.run(&["get", "00ff0a", "--hex"]).output, piped);
    assert_eq!(network.json(&["get", "00ff0a", "--hex", "--without-value"])["value_bytes"], json!(piped.len()));

    // Sparse: it takes no room.
    fs::File::create(&source).and_then(|file| file.set_len((4 << 30) + 1)).expect("writable");
    network.run(&["put", "picture", "--file", text(&source)]).failed(3, "1 to 4294967296");
    assert!(network.run(&["get", "picture"]).output == value, "the value before is kept");
    network.done(&["put", "empty", ""]);
    assert_eq!(network.run(&["get", "empty"]).output, b"");
}

#[test]
fn a_record_ends_after_its_time_to_live() {
    let network = Network::start();
    network.done(&["put", "short", "x", "--time-to-live", "1"]);
    network.run(&["put", "short", "x", "--time-to-live", "0"]).failed(2, "out of bounds");
    network.run(&["put", "short", "x", "--time-to-live", "99999999999"]).failed(2, "out of bounds");
    crate::fixture::until("ended", || network.run(&["get", "short"]).code == 1);
}

#[test]
fn scans_show_what_is_asked_for() {
    let network = Network::start();
    for number in 0..12 {
        network.done(&["put", &format!("user/{number}"), &format!("value {number}")]);
    }
    network.done(&["put", "other", "line\nbreak"]);
    let all = network.done(&["scan"]);
    assert_eq!(all.lines().count(), 13);
    let mut users: Vec<String> = network.done(&["scan", "--prefix", "user/"]).lines().map(str::to_string).collect();
    users.sort();
    let mut expected: Vec<String> = (0..12).map(|number| format!("user/{number}")).collect();
    expected.sort();
    assert_eq!(users, expected);
    assert_eq!(network.done(&["scan", "--limit", "5", "--query"]).lines().count(), 5);
    let values = network.done(&["scan", "--values"]);
    assert!(values.lines().any(|line| line == "user/7\tvalue 7") && values.contains("other\tline\\nbreak"), "{values}");
    let lines = network.done(&["scan", "--json", "--values", "--prefix", "other"]);
    let record: Value = serde_json::from_str(&lines).expect("one line of JSON");
    assert_eq!((&record["key"], &record["value_base64"]), (&json!("other"), &json!("bGluZQpicmVhaw==")));
}

#[test]
fn the_benchmark_reads_what_it_wrote_and_leaves_nothing() {
    let network = Network::start();
    network.done(&["put", "mine", "1"]);
    let told =
        network.done(&["bench", "--records", "60", "--value-bytes", "5000", "--batch", "7", "--window", "3", "--json"]);
    let lines: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let phases: Vec<_> = lines.iter().filter_map(|line| line["phase"].as_str()).collect();
    assert_eq!(phases, ["put", "get", "delete"]);
    assert!(lines[1..4].iter().all(|line| line["operations"] == 60 && line["failures"] == 0), "{told}");
    let cycles: u128 = lines[4]["cycles_used_meanwhile"].as_str().expect("text").parse().expect("a number");
    // 60 records of 5,000 bytes cost their bytes, at 1,000 cycles each and more, whatever else.
    assert!(cycles > 60 * 5_000 * 1_000, "{cycles}");
    assert_eq!(network.done(&["scan"]), "mine\n");
    let told = network.done(&["bench", "--records", "3", "--keep", "--json"]);
    let first: Value = serde_json::from_str(told.lines().next().expect("a line")).expect("JSON");
    let prefix = first["prefix"].as_str().expect("it is told first");
    assert!(prefix.starts_with("canopy-bench/"), "{told}");
    assert_eq!(network.done(&["scan", "--prefix", prefix]).lines().count(), 3);
    let run = network.run(&["bench", "--records", "3", "--keep"]);
    assert!(run.errors.starts_with("records are put under canopy-bench/"), "{run:?}");
    assert_eq!(network.run(&["bench", "--batch", "1001"]).code, 2);
}
