use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::fixture::{Network, command, end, files_of, interrupt, run, text, tree, until};
use crate::proxy::Proxy;

/// Files of the imports that are ended in the middle: several batches, so that there is a middle.
const FILES: usize = 60;
const FILE_BYTES: usize = 512 * 1024;

fn large_tree() -> tempfile::TempDir {
    let names: Vec<String> = (0..FILES).map(|number| format!("folder {}/file {number}", number % 7)).collect();
    let contents: Vec<Vec<u8>> = (0..FILES).map(|number| vec![number as u8; FILE_BYTES]).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(String::as_str).zip(contents.iter().map(Vec::as_slice)).collect();
    tree(&files)
}

#[test]
fn a_folder_that_is_imported_exports_as_it_was() {
    let network = Network::start();
    let large = vec![7; 1024 * 1024];
    let source =
        tree(&[("a", b"1"), ("b/c", b""), ("b/d e/\u{fc}.txt", b"\0\xff"), (".hidden", b"2"), ("large", &large)]);
    let target = tempfile::tempdir().expect("a temporary folder");
    let told = network.done(&["import", text(source.path())]);
    assert!(told.starts_with("stored 5 files, "), "{told}");
    network.done(&["export", text(target.path())]);
    assert!(files_of(source.path()) == files_of(target.path()));
    // Below a prefix, and back without it.
    network.done(&["import", text(source.path()), "--prefix", "www/"]);
    assert_eq!(network.run(&["get", "www/a"]).output, b"1");
    let below = target.path().join("below");
    network.done(&["export", text(&below), "--prefix", "www/"]);
    assert!(files_of(source.path()) == files_of(&below));
}

#[test]
fn keys_that_are_no_paths_come_back_too() {
    let network = Network::start();
    let keys = ["2e2e2f61", "2f6574632f", "ff00", "612f", "61", "612f62"];
    for key in keys {
        network.done(&["put", key, &format!("value of {key}"), "--hex"]);
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    network.done(&["export", text(folder.path())]);
    for key in keys {
        network.done(&["delete", key, "--hex", "--yes"]);
    }
    network.done(&["import", text(folder.path())]);
    for key in keys {
        assert_eq!(network.run(&["get", key, "--hex"]).output, format!("value of {key}").as_bytes());
    }
    assert_eq!(network.done(&["scan"]).lines().count(), keys.len());
}

#[test]
fn files_that_can_t_be_stored_are_named_and_the_others_are_stored() {
    let network = Network::start();
    let source = tree(&[("fits", b"1")]);
    // Sparse: it takes no room.
    let large = fs::File::create(source.path().join("large")).expect("writable");
    large.set_len((4 << 30) + 1).expect("writable");
    let run = network.run(&["import", text(source.path())]).failed(1, "1 files were left out");
    assert!(run.errors.contains("large: 4294967297 bytes, a value may have 4294967296"), "{run:?}");
    assert_eq!(network.run(&["get", "fits"]).output, b"1");
    network.done(&["put", "fits", "mine"]);
    let run = network.run(&["import", text(source.path()), "--if-absent"]).failed(1, "2 files were left out");
    assert!(run.errors.contains("fits: not done: the record is there"), "{run:?}");
    assert_eq!(network.run(&["get", "fits"]).output, b"mine");
    network.run(&["import", "/no/such/folder"]).failed(2, "/no/such/folder");
}

#[test]
fn an_import_that_lost_its_network_goes_on_where_it_was() {
    let network = Network::start();
    let proxy = Proxy::new(&network.url);
    let source = large_tree();
    let identity = network.home.path().join("dev.pem");
    let url = proxy.url();
    let connection = ["--network", &url, "--router", &network.router, "--identity", text(&identity)];
    let arguments =
        [&["import", text(source.path()), "--timeout", "2", "--root-key", &network.root_key][..], &connection].concat();
    proxy.hold_after((FILES * FILE_BYTES / 2) as u64);
    let child = command(network.home.path(), &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.expect("the command starts");
    until("half way", || proxy.holds());
    proxy.cut();
    let ended = end(child);
    assert!(ended.code == 4 || ended.code == 5, "{ended:?}");
    let code = ended.code;
    ended.failed(code, "the same command goes on");
    proxy.mend();
    let sent = proxy.bytes();
    let told = run(command(network.home.path(), &arguments), b"").done();
    assert!(told.contains(" before"), "{told}");
    assert!(proxy.bytes() - sent < (FILES * FILE_BYTES) as u64, "not everything was sent again");
    let target = tempfile::tempdir().expect("a temporary folder");
    network.done(&["export", text(target.path())]);
    assert!(files_of(source.path()) == files_of(target.path()));
}

#[test]
fn an_import_that_is_interrupted_tells_how_far_it_came_and_goes_on() {
    let network = Network::start();
    let proxy = Proxy::new(&network.url);
    let source = large_tree();
    let url = proxy.url();
    let identity = network.home.path().join("dev.pem");
    let connection = ["--network", &url, "--router", &network.router, "--identity", text(&identity)];
    let arguments = [&["import", text(source.path()), "--root-key", &network.root_key][..], &connection].concat();
    proxy.hold_after((FILES * FILE_BYTES / 2) as u64);
    let child = command(network.home.path(), &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.expect("the command starts");
    let journals = network.home.path().join("imports");
    let has_begun = || {
        let journals = fs::read_dir(&journals).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
        journals.iter().any(|journal| journal.metadata().is_ok_and(|metadata| metadata.len() > 0))
    };
    until("half way", || proxy.holds());
    until("confirmed in part", has_begun);
    interrupt(&child);
    // It ends with the batch that is under way; half of the import is left.
    proxy.mend();
    let ended = end(child).failed(130, "the same command goes on");
    assert!(ended.errors.contains("files are stored"), "{ended:?}");
    let told = run(command(network.home.path(), &arguments), b"").done();
    assert!(told.contains(" before"), "{told}");
    assert!(!has_begun(), "the journal is removed at the end");
    let target = tempfile::tempdir().expect("a temporary folder");
    network.done(&["export", text(target.path())]);
    assert!(files_of(source.path()) == files_of(target.path()));
}

#[test]
fn an_export_onto_a_full_disk_says_so_and_goes_on_when_there_is_room() {
    let network = Network::start();
    let source = tree(&[("small", &[1; 1_000]), ("large", &[2; 600_000]), ("other", &[3; 1_000])]);
    network.done(&["import", text(source.path())]);
    let target = tempfile::tempdir().expect("a temporary folder");
    let folder = target.path().join("export");
    // Files of more than 100 KiB can't be written: what a full disk does, without filling one.
    let mut limited = Command::new("sh");
    let script = "trap '' XFSZ; ulimit -f 200; exec \"$0\" export \"$1\"";
    limited.args(["-c", script, env!("CARGO_BIN_EXE_canopy"), text(&folder)]).env("CANOPY_HOME", network.home.path());
    run(limited, b"").failed(2, "can't write").failed(2, "the same command goes on");
    for (path, bytes) in files_of(&folder) {
        assert!(path.to_string_lossy().starts_with('.') || bytes.len() == 1_000, "{path:?} is half of a file");
    }
    network.done(&["export", text(&folder), "--yes"]);
    assert!(files_of(source.path()) == files_of(&folder));
}

#[test]
fn an_export_asks_before_it_replaces_files() {
    let network = Network::start();
    network.done(&["put", "a", "stored"]);
    let target = tree(&[("a", b"mine")]);
    network.run(&["export", text(target.path())]).failed(2, "--yes");
    assert_eq!(fs::read(target.path().join("a")).expect("there"), b"mine");
    network.done(&["export", text(target.path()), "--yes"]);
    assert_eq!(fs::read(target.path().join("a")).expect("there"), b"stored");
}

#[test]
fn a_folder_that_can_t_be_written_is_named() {
    let network = Network::start();
    network.done(&["put", "a", "stored"]);
    let target = tree(&[("file", b"")]);
    let file = target.path().join("file");
    network.run(&["export", text(&file)]).failed(2, "file");
    fs::set_permissions(target.path(), fs::Permissions::from_mode(0o700)).expect("mine");
    network.run(&["export", "/proc/canopy"]).failed(2, "/proc/canopy");
}

#[test]
fn a_demo_tells_people_a_report_and_machines_a_summary() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let large = vec![7; 1024 * 1024 + 1];
    let source = tree(&[("a", b"1"), ("b/c", b"22"), ("large", &large)]);
    let demo =
        |more: &[&str]| run(command(home.path(), &[&["demo", text(source.path())][..], more].concat()), b"").done();
    let told = demo(&[]);
    assert!(told.ends_with(&format!("3 files, {} bytes, 0 differences\n", large.len() + 3)), "{told}");
    assert!(told.contains("1 files") && told.contains("went in chunks"), "{told}");
    let told: serde_json::Value = serde_json::from_str(&demo(&["--json"])).expect("one line of JSON");
    assert_eq!((&told["files"], &told["files_in_chunks"], &told["differences"]), (&json!(3), &json!(1), &json!(0)));
    run(command(home.path(), &["demo", "/no/such/folder"]), b"").failed(2, "/no/such/folder");
}

#[test]
fn a_demo_splits_shards_while_it_imports_and_shows_it() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let files: Vec<(String, Vec<u8>)> =
        (0..700_u16).map(|number| (format!("f/{number}"), vec![number as u8; 20_000])).collect();
    let source = tree(&files.iter().map(|(name, bytes)| (&**name, &**bytes)).collect::<Vec<_>>());
    let arguments = ["demo", text(source.path()), "--shards", "1", "--split-at", "1048576"];
    let told = run(command(home.path(), &arguments), b"").done();
    let became = told.lines().find(|line| line.contains("shards became")).expect("the report says so");
    let numbers: Vec<u64> = became.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(matches!(numbers[..], [1, shards, splits] if shards >= 4 && splits >= 3), "{became}");
    assert!(told.matches(" is split: ").count() >= 3 && told.matches(" owns ").count() >= 3, "{told}");
    assert!(told.ends_with("700 files, 14000000 bytes, 0 differences\n"), "{told}");
}
