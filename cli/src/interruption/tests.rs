use clap::Parser;

use super::*;
use crate::Arguments;

/// Says what is left of a command line.
fn left(arguments: &[&str]) -> &'static str {
    let arguments = [&["canopy"][..], arguments].concat();
    let parsed = Arguments::try_parse_from(arguments).map_err(|error| error.to_string());
    left_by(&parsed.expect("well formed").command)
}

#[test]
fn who_only_looked_has_left_nothing() {
    let looks: [&[&str]; 8] = [
        &["get", "key"],
        &["status"],
        &["scrub"],
        &["shard", "show", "0"],
        &["transfer", "list"],
        &["alarm", "list"],
        &["policy", "show"],
        &["roles", "list"],
    ];
    for arguments in looks {
        assert_eq!(left(arguments), "interrupted", "{arguments:?}");
    }
}

#[test]
fn what_the_service_goes_on_with_is_looked_for_among_the_transfers() {
    let moves: [&[&str]; 4] = [
        &["shard", "split", "0"],
        &["shard", "merge", "1", "--into", "0"],
        &["shard", "retire", "1"],
        &["transfer", "cancel", "00112233445566778899aabbccddeeff"],
    ];
    for arguments in moves {
        assert!(left(arguments).contains("canopy transfer list"), "{arguments:?}");
    }
}

#[test]
fn what_can_be_gone_on_with_says_so_and_other_writes_may_have_been_done() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let put = |bytes: u64| {
        let path = folder.path().join("file");
        std::fs::File::create(&path).and_then(|file| file.set_len(bytes)).expect("writable");
        left(&["put", "key", "--file", path.to_str().expect("text")])
    };
    let goes_on = |left: &str| left.ends_with("the same command goes on from there");
    assert!(goes_on(put(1024 * 1024 + 1)));
    assert!(goes_on(left(&["import", "folder"])) && goes_on(left(&["export", "folder"])));
    assert!(goes_on(left(&["recover", "--from", "service.json"])));
    assert!(put(1024 * 1024).ends_with("it may have been done"));
    assert!(left(&["put", "key", "--file", "-"]).ends_with("it may have been done"));
    assert!(left(&["delete", "key"]).ends_with("it may have been done"));
    assert!(left(&["bench"]).contains("canopy scan --prefix canopy-bench/"));
}
