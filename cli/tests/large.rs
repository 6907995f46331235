use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::fixture::{Network, command, end, files_of, interrupt, run, text, tree, until};
use crate::proxy::Proxy;

const MIB: usize = 1024 * 1024;

/// Length of a file that shows that memory doesn't grow with it. `CANOPY_LARGE_MIB` asks for another, as for the gibibyte
/// of CONTRIBUTING.md.
fn long_file_mib() -> usize {
    std::env::var("CANOPY_LARGE_MIB").ok().and_then(|mib| mib.parse().ok()).unwrap_or(96)
}

/// Most memory that a command may have had at any time, in KiB.
const PEAK_KIB_MAX: u64 = 64 * 1024;

fn value(seed: u8, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at / 5) as u8 ^ seed ^ (at >> 16) as u8).collect()
}

/// Runs a command to its end, and tells the most memory that it had, in KiB.
fn peak_of(network: &Network, arguments: &[&str]) -> u64 {
    let mut command = command(network.home.path(), arguments);
    let mut child = command.stdout(Stdio::null()).spawn().expect("the command starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let told = fs::read_to_string(&status).unwrap_or_default();
        let line = told.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0).max(peak);
        if let Some(status) = child.try_wait().expect("it can be asked") {
            assert!(status.success(), "{arguments:?}");
            return peak;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Writes a file piece by piece.
fn write_long(path: &Path, mib: usize) {
    let mut file = fs::File::create(path).expect("writable");
    (0..mib).for_each(|number| file.write_all(&value(number as u8, MIB)).expect("writable"));
    file.write_all(b"and a little more").expect("writable");
}

/// Compares two files without having them in memory.
fn assert_same(one: &Path, other: &Path) {
    let (mut one, mut other) = (fs::File::open(one).expect("readable"), fs::File::open(other).expect("readable"));
    let length = |file: &fs::File| file.metadata().expect("readable").len();
    assert_eq!(length(&one), length(&other));
    let (mut a, mut b) = (vec![0; MIB], vec![0; MIB]);
    let mut left = length(&one) as usize;
    while left > 0 {
        let count = left.min(MIB);
        one.read_exact(&mut a[..count]).expect("readable");
        other.read_exact(&mut b[..count]).expect("readable");
        assert!(a[..count] == b[..count], "{left} bytes before the end");
        left -= count;
    }
}

#[test]
fn a_file_of_any_length_goes_in_and_out_in_little_memory() {
    let network = Network::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    write_long(&source, long_file_mib());
    let put = peak_of(&network, &["put", "film", "--file", text(&source)]);
    let get = peak_of(&network, &["get", "film", "--output", text(&target)]);
    println!("{} MiB: put had {put} KiB, get {get} KiB", long_file_mib());
    assert_same(&source, &target);
    assert!(put <= PEAK_KIB_MAX && get <= PEAK_KIB_MAX, "put had {put} KiB, get {get} KiB");
    let bytes = fs::metadata(&source).expect("readable").len();
    assert_eq!(network.json(&["get", "film", "--without-value"])["value_bytes"], json!(bytes));
    assert!(network.done(&["scan"]).lines().eq(["film"]), "nothing internal is seen");
}

#[test]
fn large_values_go_through_pipes_conditions_and_json() {
    let network = Network::start();
    let large = value(1, 2 * MIB + 3);
    run(command(network.home.path(), &["put", "film", "--file", "-", "--if-absent"]), &large).done();
    assert!(network.run(&["get", "film"]).output == large);
    assert!(network.run(&["get", "film", "--query"]).output == large);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = folder.path().join("source");
    fs::write(&source, value(2, MIB + 1)).expect("writable");
    network.run(&["put", "film", "--file", text(&source), "--if-absent"]).failed(3, "the record is there");
    let told = network.json(&["put", "film", "--file", text(&source), "--if-present"]);
    let record = network.json(&["get", "film"]);
    assert_eq!(record["version"], told["version"]);
    assert_eq!(record["value_bytes"], json!(MIB + 1));
    network.done(&["delete", "film", "--yes"]);
    network.run(&["get", "film"]).failed(1, "nothing is stored under film");
    let left: Vec<_> = files_of(network.home.path()).into_iter().map(|(path, _)| path).collect();
    let is_left = |path: &&std::path::PathBuf| path.starts_with("uploads") || text(path).contains("stdin");
    assert_eq!(left.iter().find(is_left), None);
}

#[test]
fn a_folder_with_large_files_imports_and_exports_as_it_was() {
    let network = Network::start();
    let (one, other) = (value(1, 3 * MIB), value(2, MIB + 1));
    let source = tree(&[("a", b"1"), ("b/large", &one), ("b/other", &other), ("c", b"2")]);
    let target = tempfile::tempdir().expect("a temporary folder");
    let told = network.done(&["import", text(source.path())]);
    assert!(told.starts_with("stored 4 files, "), "{told}");
    network.done(&["export", text(target.path())]);
    assert!(files_of(source.path()) == files_of(target.path()));
    let run = network.run(&["import", text(source.path()), "--if-absent"]).failed(1, "4 files were left out");
    assert!(run.errors.contains("b/large: not done: the record is there"), "{run:?}");
}

/// Length of a file that is interrupted on its way, and how much of it has gone by then: more than what is under way at
/// once, so that some chunks are stored.
const CUT_MIB: usize = 24;
const CUT_AFTER_BYTES: u64 = 16 * MIB as u64;

/// Starts a command whose words are read in the end.
fn started(network: &Network, arguments: &[&str]) -> Child {
    let mut command = command(network.home.path(), arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts")
}

/// Lists the names of what is in a folder, which need not be there.
fn names_in(folder: &Path) -> Vec<String> {
    let found = fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    found.into_iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn has_part(folder: &Path) -> bool {
    names_in(folder).iter().any(|name| name.starts_with(".canopy-part-"))
}

#[test]
fn an_upload_that_was_interrupted_goes_on_where_it_was() {
    check_goes_on(|child| {
        interrupt(&child);
        end(child).failed(130, "the same command goes on from there");
    });
}

#[test]
fn an_upload_that_crashed_goes_on_where_it_was() {
    check_goes_on(|mut child| {
        child.kill().expect("it runs");
        assert_eq!(end(child).code, -1);
    });
}

/// Has a `put` end half way, and the same again go on.
fn check_goes_on(end_it: impl FnOnce(Child)) {
    let network = Network::start();
    let proxy = Proxy::new(&network.url);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = folder.path().join("source");
    write_long(&source, CUT_MIB);
    let (url, identity) = (proxy.url(), network.home.path().join("dev.pem"));
    let connection = ["--router", &network.router, "--root-key", &network.root_key, "--identity", text(&identity)];
    let put = [&["put", "film", "--file", text(&source), "--network", &url][..], &connection].concat();
    proxy.hold_after(CUT_AFTER_BYTES);
    let child = started(&network, &put);
    until("half way", || proxy.holds());
    end_it(child);
    let notes = network.home.path().join("uploads");
    assert_eq!(names_in(&notes).len(), 1, "the name of the upload is kept");
    proxy.cut();
    proxy.mend();
    let sent = proxy.bytes();
    run(command(network.home.path(), &put), b"").done();
    assert!(proxy.bytes() - sent < (CUT_MIB * MIB) as u64, "not everything was sent again");
    let target = folder.path().join("target");
    network.done(&["get", "film", "--output", text(&target)]);
    assert_same(&source, &target);
    assert!(names_in(&notes).is_empty());
}

#[test]
fn a_value_that_still_comes_from_a_pipe_is_forgotten_with_ctrl_c() {
    let network = Network::start();
    let mut command = command(network.home.path(), &["put", "film", "--file", "-"]);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    let mut pipe = child.stdin.take().expect("it is piped");
    pipe.write_all(&value(1, 2 * MIB)).expect("it reads");
    let kept = format!("stdin-{}", child.id());
    until("kept in a file", || names_in(network.home.path()).contains(&kept));
    interrupt(&child);
    // The pipe is open still.
    end(child).failed(130, "interrupted");
    assert!(!names_in(network.home.path()).contains(&kept));
    drop(pipe);
    network.run(&["get", "film"]).failed(1, "nothing is stored under film");
}

#[test]
fn a_download_that_was_interrupted_leaves_no_part_behind() {
    let network = Network::start();
    let proxy = Proxy::new(&network.url);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (source, exported) = (folder.path().join("source"), folder.path().join("exported"));
    write_long(&source, CUT_MIB);
    network.done(&["put", "film", "--file", text(&source)]);
    let (url, identity, target) = (proxy.url(), network.home.path().join("dev.pem"), folder.path().join("target"));
    let connection = ["--router", &network.router, "--root-key", &network.root_key, "--identity", text(&identity)];

    // It takes seconds, however fast the machine.
    proxy.slow_down(Duration::from_millis(20));
    let get = [&["get", "film", "--output", text(&target), "--network", &url][..], &connection].concat();
    let child = started(&network, &get);
    until("begun", || has_part(folder.path()));
    proxy.hold_after(0);
    interrupt(&child);
    end(child).failed(130, "interrupted");
    assert_eq!(names_in(folder.path()), ["source"]);
    proxy.cut();
    proxy.mend();

    // An export ends with what is under way, or at once when Ctrl-C is pressed again.
    let export = [&["export", text(&exported), "--network", &url][..], &connection].concat();
    let mut child = started(&network, &export);
    until("begun", || has_part(&exported));
    proxy.hold_after(0);
    let mut errors = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut told = String::new();
    interrupt(&child);
    errors.read_line(&mut told).expect("text");
    assert!(told.contains("Ctrl-C again ends at once"), "{told}");
    interrupt(&child);
    errors.read_to_string(&mut told).expect("text");
    assert_eq!(end(child).code, 130, "{told}");
    assert!(told.contains("the same command goes on from there"), "{told}");
    // How far it has come is kept; beside that, neither a part nor an empty file.
    let mut left = names_in(&exported);
    left.retain(|name| name != ".canopy-export.json");
    assert_eq!(left, [] as [&str; 0]);
    proxy.cut();
    proxy.mend();
    proxy.slow_down(Duration::ZERO);
    run(command(network.home.path(), &export), b"").done();
    assert_same(&source, &exported.join("film"));
}
