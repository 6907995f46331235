use std::fs;
use std::net::TcpStream;

use canopy_simulator::server::{Server, ServerOptions};
use serde_json::json;

use crate::fixture::{Network, command, run, server_program, text};

/// An Ed25519 key of nobody in particular, as `icp identity export` writes them.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n-----END PRIVATE KEY-----\n";

#[test]
fn the_local_network_is_found_by_the_others_and_gone_after_ctrl_c() {
    let mut network = Network::start();
    let status = network.json(&["status"]);
    assert_eq!((&status["ready"], &status["router"]), (&json!(true), &json!(network.router)));
    assert_eq!(status["shards"].as_array().expect("a list").len(), 2);
    let url = status["network"].as_str().expect("a URL").trim_end_matches('/');
    assert_eq!(url, network.url.trim_end_matches('/'));
    assert_eq!((&status["transfers"], &status["shards_not_told_of_roles"]), (&json!([]), &json!([])));
    assert!(network.done(&["status"]).contains("2 of 2 open"));
    network.done(&["put", "key", "value"]);
    let shards = network.done(&["shards", "--json"]);
    let records: u64 = shards
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON")["records"].as_u64().expect("a number")
        })
        .sum();
    assert_eq!((shards.lines().count(), records), (2, 1));
    assert!(network.done(&["shards"]).contains("hash range"));
    assert_eq!(network.interrupt(), 0);
    network.run(&["get", "key"]).failed(2, "no local network runs");
}

#[test]
fn roles_are_given_and_taken_away() {
    let network = Network::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = folder.path().join("key.pem");
    fs::write(&key, KEY).expect("writable");
    let principal = network.done(&["principal", "--identity", text(&key)]).trim().to_string();
    let other = |arguments: &[&str]| network.run(&[arguments, &["--identity", text(&key)]].concat());
    other(&["put", "app/a", "x"]).failed(3, "may not do that");
    other(&["roles", "list"]).failed(3, "may not");
    network.done(&["roles", "grant", "writer", &principal, "--prefix", "app/"]);
    other(&["put", "app/a", "x"]).done();
    other(&["put", "elsewhere", "x"]).failed(3, "may not do that");
    network.done(&["roles", "grant", "reader", "everyone", "--prefix", "public/"]);
    network.done(&["put", "public/a", "open"]);
    let anonymous = network.run(&["get", "public/a", "--identity", "anonymous"]);
    assert_eq!(anonymous.output, b"open", "{anonymous:?}");
    let listed = network.done(&["roles", "list"]);
    assert!(listed.contains(&principal) && listed.contains("app/*") && listed.contains("everyone"), "{listed}");
    network.run(&["roles", "grant", "writer", "everyone"]).failed(3, "everyone can only be a reader");
    network.run(&["roles", "revoke", "writer", &principal]).failed(2, "--yes");
    network.run(&["roles", "revoke", "writer", &principal, "--yes"]).failed(3, "there is no such grant");
    network.done(&["roles", "revoke", "writer", &principal, "--prefix", "app/", "--yes"]);
    assert!(!network.done(&["roles", "list"]).contains(&principal));
}

#[test]
fn the_policy_is_shown_and_set() {
    let network = Network::start();
    assert!(network.done(&["policy", "show"]).contains("no limit"));
    let set = network.json(&["policy", "set", "--operations-per-minute", "6000"]);
    let limits = json!([set["operations_per_minute_max"], set["bytes_per_minute_max"], set["open_uploads_max"]]);
    assert_eq!(limits, json!([6000, null, 256]));
    let set = network.json(&["policy", "set", "--open-uploads", "7", "--chunk-minutes", "2"]);
    let uploads = json!([set["open_uploads_max"], set["chunks_kept_milliseconds"], set["upload_open_milliseconds"]]);
    assert_eq!(uploads, json!([7, 120_000, 86_400_000]));
    network.run(&["policy", "set", "--open-uploads", "0"]).failed(3, "uploads.open_uploads_max can't be 0: 1 to 4,096");
    let refused = network.run(&["policy", "set", "--bytes-per-minute", "7"]);
    refused.failed(3, "bytes_per_minute_max can't be 7 bytes: 2 MiB to 1 PiB, or off");
    assert!(network.done(&["policy", "show"]).contains("6,000"));
    assert_eq!(
        network.json(&["policy", "set", "--operations-per-minute", "0"])["operations_per_minute_max"],
        json!(null)
    );
}

#[test]
fn the_policy_of_growth_is_shown_with_defaults_and_set_in_units() {
    let network = Network::start();
    let shown = network.done(&["policy", "show"]);
    for default in ["32 GiB (default)", "128 GiB (default)", "2 GiB (default)", "300,000 (default)", "as forecast"] {
        assert!(shown.contains(default), "{default} in {shown}");
    }
    let sizes =
        ["--split-at-record-bytes", "16GiB", "--split-at-stable-bytes", "64GiB", "--split-at-heap-bytes", "off"];
    let counts = ["--split-at-operations-per-minute", "100k", "--split-at-instructions-per-minute", "20G"];
    let others = ["--splits-per-hour", "3", "--merge-below-record-bytes", "1GiB", "--spares", "1"];
    let set = network.json(&[&["policy", "set"], &sizes[..], &counts, &others].concat());
    assert_eq!(set, network.json(&["policy", "show"]));
    let of = |names: [&str; 4]| names.map(|name| set[name].as_u64().expect("a number"));
    let bytes = ["split_at_record_bytes", "split_at_stable_bytes", "split_at_heap_bytes", "merge_below_record_bytes"];
    assert_eq!(of(bytes), [16 << 30, 64 << 30, 0, 1 << 30]);
    let counts =
        ["split_at_operations_per_minute", "split_at_instructions_per_minute", "splits_per_hour_max", "spares_min"];
    assert_eq!(of(counts), [100_000, 20_000_000_000, 3, 1]);
    let off = network.done(&["policy", "set", "--splits-per-hour", "off", "--spares", "off"]);
    assert!(off.contains("as forecast") && off.contains("16 GiB"), "{off}");
    let refused = |arguments: &[&str]| network.run(&[&["policy", "set"], arguments].concat());
    refused(&["--split-at-record-bytes", "1KiB"]).failed(3, "can't be 1 KiB: 64 KiB to 400 GiB, or off");
    refused(&["--merge-below-record-bytes", "9GiB"]).failed(3, "half of split_at_record_bytes, 8 GiB, at most");
    refused(&["--split-at-record-bytes", "much"]).failed(2, "a size is a whole number");
    refused(&["--spares", "some"]).failed(2, "a count is a whole number");
    refused(&["--open-uploads", "off"]).failed(2, "a count is a whole number");
}

#[test]
fn shells_get_completions_and_people_examples() {
    let home = tempfile::tempdir().expect("a temporary folder");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let completions = run(command(home.path(), &["completions", shell]), b"").done();
        assert!(completions.contains("import") && completions.contains("canopy"), "{shell}");
    }
    assert!(run(command(home.path(), &["--help"]), b"").done().contains("Exit codes:"));
    for name in ["dev", "demo", "put", "get", "delete", "scan", "import", "export", "status", "shards", "recover"] {
        let help = run(command(home.path(), &[name, "--help"]), b"").done();
        assert!(help.contains("Examples:") && help.contains(&format!("canopy {name}")), "{name}");
    }
}

#[test]
fn an_application_canister_stores_and_what_it_stored_is_found() {
    let network = Network::start_with(&["--example"]);
    assert!(network.done(&["call", "application", "visit", "(\"home\")"]).contains("Ok = 1"));
    assert!(network.done(&["call", "application", "visit", "(\"home\")"]).contains("Ok = 2"));
    assert_eq!(network.run(&["get", "home"]).output, 2_u64.to_le_bytes());
    network.run(&["call", "application", "visit", "(home"]).failed(2, "the arguments");
    network.run(&["call", "application", "nothing"]).failed(3, "nothing");
    let router = network.router.clone();
    assert!(network.done(&["call", &router, "status", "--query"]).contains("ready = true"));
    Network::start().run(&["call", "application", "visit"]).failed(2, "installed no application");
}

#[test]
fn a_server_that_dev_starts_ends_with_it() {
    let program = server_program();
    let mut network = Network::start_with(&["--server", text(&program)]);
    network.done(&["put", "greeting", "hello"]);
    let port = network.url.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
    let reached = || TcpStream::connect(("127.0.0.1", port.expect("the URL names a port")));
    reached().expect("the server listens");
    assert_eq!(network.interrupt(), 0);
    reached().expect_err("the server has ended");
}

#[test]
fn dev_ends_when_its_server_does() {
    let server = Server::start(ServerOptions::default()).expect("the simulator starts");
    let mut network = Network::start_with(&["--server", &server.url()]);
    network.done(&["put", "greeting", "hello"]);
    drop(server);
    assert_eq!(network.ends(), 5);
    network.run(&["get", "greeting"]).failed(2, "no local network runs");
}

#[test]
fn the_local_network_can_be_on_another_server() {
    let server = Server::start(ServerOptions::default()).expect("the simulator starts");
    let network = Network::start_with(&["--server", &server.url()]);
    network.done(&["put", "greeting", "hello"]);
    assert_eq!(network.run(&["get", "greeting"]).output, b"hello");
    drop(network);
    let home = tempfile::tempdir().expect("a temporary folder");
    let missing = ["dev", "--port", "0", "--server", "/no/such/server"];
    run(command(home.path(), &missing), b"").failed(2, "/no/such/server");
}
