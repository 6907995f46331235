use super::*;

#[test]
fn what_was_noted_is_known_when_it_is_opened_again_and_only_by_its_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let open = |parts: &[&[u8]]| Journal::open_in(folder.path(), parts).expect("writable");
    let mut journal = open(&[b"router", b"folder"]);
    journal.note([(&b"a"[..], [1; 32]), (b"b", [2; 32])].into_iter()).expect("written");
    drop(journal);
    let journal = open(&[b"router", b"folder"]);
    assert!(journal.holds(b"a", &[1; 32]) && journal.holds(b"b", &[2; 32]));
    assert!(!journal.holds(b"a", &[2; 32]), "another content is not stored");
    assert!(!open(&[b"routerf", b"older"]).holds(b"a", &[1; 32]));
}

#[test]
fn a_line_that_was_cut_off_is_not_believed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut journal = Journal::open_in(folder.path(), &[b"x"]).expect("writable");
    journal.note([(&b"whole"[..], [1; 32]), (b"cut", [2; 32])].into_iter()).expect("written");
    let bytes = fs::metadata(&journal.path).expect("there").len();
    journal.file.set_len(bytes - 10).expect("cut");
    let journal = Journal::open_in(folder.path(), &[b"x"]).expect("writable");
    assert!(journal.holds(b"whole", &[1; 32]) && !journal.holds(b"cut", &[2; 32]));
}

#[test]
fn a_cleared_journal_holds_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut journal = Journal::open_in(folder.path(), &[b"x"]).expect("writable");
    journal.note([(&b"a"[..], [1; 32])].into_iter()).expect("written");
    journal.clear().expect("emptied");
    assert!(!journal.holds(b"a", &[1; 32]));
    assert!(!Journal::open_in(folder.path(), &[b"x"]).expect("writable").holds(b"a", &[1; 32]));
}
