use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;

use crate::fixture::{Network, command, end, run, text};

/// The router of the first release.
const FIRST_RELEASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/releases/0.1.0/router.wasm.gz");

#[test]
fn what_is_not_there_is_named() {
    let network = Network::start();
    let url = network.url.as_str();
    let other = |arguments: &[&str]| network.run(&[arguments, &["--timeout", "2"]].concat());
    network.run(&["get", "a", "--network", "nowhere"]).failed(2, "there is no network `nowhere`");
    network.run(&["get", "a", "--network", url]).failed(2, "--router");
    network.run(&["get", "a", "--router", "nobody"]).failed(2, "`nobody` is no principal");
    other(&["get", "a", "--network", "http://127.0.0.1:1", "--router", &network.router]).failed(5, "127.0.0.1:1");
    other(&["get", "a", "--network", "http://", "--router", &network.router]).failed(2, "`http://` is no URL");
    let root_key = network.root_key.as_str();
    let unreached = ["--network", "http://127.0.0.1:1", "--router", &network.router, "--root-key", root_key];
    other(&[&["put", "a", "x"][..], &unreached].concat()).failed(5, "is not reached");
    other(&["get", "a", "--router", "aaaaa-aa"]).failed(5, "");
    // A canister of the network that is no router: one of its shards.
    let shards = network.done(&["shards", "--json"]);
    let shard: serde_json::Value = serde_json::from_str(shards.lines().next().expect("a shard")).expect("JSON");
    let shard = shard["shard"].as_str().expect("text");
    other(&["get", "a", "--router", shard]).failed(5, "is no router of Canopy");
    other(&["put", "a", "x", "--router", shard]).failed(5, "is no router of Canopy");
    // A canister that isn't there.
    other(&["get", "a", "--router", "ryjl3-tyaaa-aaaaa-aaaba-cai"]).failed(5, "");
    // Whoever can't prove to be the network is not believed.
    let wrong = format!("{}00", &root_key[..root_key.len() - 2]);
    other(&["get", "a", "--root-key", &wrong]).failed(5, "is not believed");
    other(&["get", "a", "--root-key", "/no/such/file"]).failed(2, "/no/such/file");
    network.run(&["get", "a", "--network", "ic", "--root-key", root_key]).failed(2, "leave --root-key out");
}

#[test]
fn files_that_are_not_what_they_should_be_are_named() {
    let network = Network::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pem = folder.path().join("key.pem");
    let with_key = |content: &str| {
        fs::write(&pem, content).expect("writable");
        network.run(&["get", "a", "--identity", text(&pem)])
    };
    with_key("no key").failed(2, "is no identity");
    with_key("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----").failed(2, "encrypted");
    with_key("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----").failed(2, "another kind");
    network.run(&["get", "a", "--identity", "/no/such.pem"]).failed(2, "/no/such.pem");
    network.run(&["put", "a", "--file", "/no/such/file"]).failed(2, "/no/such/file");
    network.run(&["put", "a", "--file", text(folder.path())]).failed(2, "can't read");
    network.run(&["put", "", "x"]).failed(2, "a key has at least one byte");
    network.run(&["put", &"k".repeat(1_025), "x"]).failed(2, "the key has 1025 bytes");
    network.run(&["put", "xyz", "x", "--hex"]).failed(2, "not hexadecimal");
    network.done(&["put", "a", "value"]);
    network.run(&["get", "a", "--output", "/no/such/folder/x"]).failed(2, "/no/such/folder/x");
    if Path::new("/dev/full").exists() {
        let mut full = command(network.home.path(), &["get", "a"]);
        full.stdout(fs::OpenOptions::new().write(true).open("/dev/full").expect("a device"));
        full.stderr(Stdio::piped());
        let output = full.spawn().and_then(std::process::Child::wait_with_output).expect("it ends");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains("can't write the output"), "{errors}");
    }
}

#[test]
fn a_router_of_an_older_version_serves_what_it_knows() {
    let network = Network::start_with(&["--router-wasm", FIRST_RELEASE]);
    network.done(&["put", "a", "value"]);
    assert_eq!(network.run(&["get", "a"]).output, b"value");
    network.run(&["roles", "list"]).failed(5, "0.1.0");
}

#[test]
fn machines_are_told_failures_as_json() {
    let network = Network::start();
    let run = network.run(&["get", "nothing", "--json"]);
    let told: serde_json::Value = serde_json::from_str(run.errors.trim()).expect("one line of JSON");
    assert_eq!((run.code, &told["error"]["kind"]), (1, &serde_json::json!("incomplete")));
    assert_eq!(told["error"]["exit_code"], serde_json::json!(1));
}

#[test]
fn a_port_that_is_taken_is_told() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    run(command(home.path(), &["dev", "--port", &port]), b"").failed(2, &port);
    run(command(home.path(), &["dev", "--application", "/no/such.wasm"]), b"").failed(2, "/no/such.wasm");
}

#[test]
fn a_server_that_is_none_is_told_and_nothing_panics() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let dev = |server: &str| run(command(home.path(), &["dev", "--port", "0", "--server", server]), b"");
    dev("http://127.0.0.1:1").failed(5, "no PocketIC server answers at http://127.0.0.1:1");
    dev("http://").failed(2, "`http://` is no URL");
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", other.local_addr().expect("an address"));
    let answering = std::thread::spawn(move || {
        let (mut asked, _) = other.accept().expect("it is asked");
        let bytes = asked.read(&mut [0; 1_024]).expect("readable");
        assert!(bytes > 0, "a request");
        asked.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").expect("it listens");
    });
    dev(&url).failed(5, "no PocketIC server answers at");
    answering.join().expect("no panic");
    let file = home.path().join("server");
    fs::write(&file, "no program").expect("writable");
    dev(text(&file)).failed(2, "there is no PocketIC server at");
    dev(env!("CARGO_BIN_EXE_canopy")).failed(2, "it doesn't say that it is one");
}

#[test]
fn a_pipe_that_nobody_reads_is_told_in_a_line() {
    let home = tempfile::tempdir().expect("a temporary folder");
    // More than a pipe holds.
    let mut completions = command(home.path(), &["completions", "bash"]);
    let mut child = completions.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    drop(child.stdout.take());
    end(child).failed(2, "can't write the output");
}
