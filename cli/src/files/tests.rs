use super::*;

const NO_LIMITS: Limits = Limits { files_max: usize::MAX, bytes_max: u64::MAX };

fn tree(files: &[(&str, usize)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("writable");
        fs::write(path, vec![7; *bytes]).expect("writable");
    }
    folder
}

fn keys(found: &Found) -> Vec<String> {
    found.files.iter().map(|file| String::from_utf8(file.key.clone()).expect("names are text")).collect()
}

#[test]
fn files_come_in_the_order_of_their_names_with_keys_below_the_folder() {
    let folder = tree(&[("b/two", 2), ("a", 1), ("b/c/three", 3)]);
    let found = find(folder.path(), NO_LIMITS).expect("readable");
    assert_eq!(keys(&found), ["a", "b/two", "b/c/three"]);
    assert_eq!(found.bytes, 6);
}

#[test]
fn a_value_above_the_limit_is_skipped_by_name() {
    let folder = tree(&[("fits", 7)]);
    // Sparse: it takes no room.
    fs::File::create(folder.path().join("large")).unwrap().set_len(LARGE_VALUE_BYTES_MAX + 1).unwrap();
    fs::File::create(folder.path().join("largest")).unwrap().set_len(LARGE_VALUE_BYTES_MAX).unwrap();
    let found = find(folder.path(), NO_LIMITS).expect("readable");
    assert_eq!(keys(&found), ["fits", "largest"]);
    assert_eq!(found.skipped.len(), 1);
    assert!(found.skipped[0].0.ends_with("large"));
}

#[test]
fn links_are_not_followed() {
    let folder = tree(&[("a/file", 1)]);
    std::os::unix::fs::symlink(folder.path(), folder.path().join("a/loop")).expect("a link");
    assert_eq!(keys(&find(folder.path(), NO_LIMITS).expect("readable")), ["a/file"]);
}

#[test]
fn a_missing_folder_is_an_error_that_names_it() {
    let error = find(Path::new("/no/such/folder"), NO_LIMITS).expect_err("there is none");
    assert!(format!("{error:#}").contains("/no/such/folder"), "{error:#}");
}
