use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::fixture::{Network, command, end, files_of, interrupt, run, text, tree, until};

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
    // Each thread of a machine with many keeps a heap of its own with room in it: so many, whatever the machine.
    let mut command = command(network.home.path(), arguments);
    command.envs([("TOKIO_WORKER_THREADS", "2"), ("MALLOC_ARENA_MAX", "4")]).stdout(Stdio::null());
    let mut child = command.spawn().expect("the command starts");
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

#[test]
fn an_upload_that_was_interrupted_goes_on_where_it_was() {
    let network = Network::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = folder.path().join("source");
    write_long(&source, 24);
    // As soon as the upload has a name, some chunks are on their way.
    let child = command(network.home.path(), &["put", "film", "--file", text(&source)])
        .stdout(Stdio::null())
        .spawn()
        .expect("the command starts");
    let notes = network.home.path().join("uploads");
    until("begun", || fs::read_dir(&notes).is_ok_and(|mut notes| notes.next().is_some()));
    std::thread::sleep(Duration::from_millis(300));
    interrupt(&child);
    let ended = end(child);
    let name = fs::read_dir(&notes).expect("readable").next();
    if ended.code != 0 {
        assert!(name.is_some(), "the name of the upload is kept");
    }
    network.done(&["put", "film", "--file", text(&source)]);
    let target = folder.path().join("target");
    network.done(&["get", "film", "--output", text(&target)]);
    assert_same(&source, &target);
    assert_eq!(fs::read_dir(&notes).expect("readable").count(), 0);
}
