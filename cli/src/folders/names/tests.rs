use std::collections::BTreeSet;

use super::*;

/// Keys of all kinds that have made trouble somewhere.
fn keys() -> Vec<Vec<u8>> {
    let long = "x".repeat(256);
    let texts = [
        "a",
        "a/b",
        "a/b/c.txt",
        "ü",
        "a b",
        "..",
        ".",
        "../a",
        "a/../b",
        "a/./b",
        "/etc/passwd",
        "a//b",
        "a/",
        "/",
        "\\",
        "a\nb",
        "\0",
        ".canopy-keys",
        ".canopy-keys/61.key",
        ".canopy-export.json",
        "a/.canopy-part-7",
        ".hidden",
        "c:",
        &long,
    ];
    let mut keys: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    keys.extend([vec![0xff], vec![0xff; 1_024], vec![0xff; 100], vec![b'a'; 1_024]]);
    keys
}

#[test]
fn every_key_has_a_path_of_its_own_inside_the_folder_that_leads_back_to_it() {
    let mut paths = BTreeSet::new();
    for key in keys() {
        for path in [path_of(&key), hexadecimal_path(&key)] {
            assert_eq!(key_of(&path).as_ref(), Some(&key), "{path:?}");
            assert!(
                path.components().all(|part| matches!(part, Component::Normal(name) if name.len() <= 255)),
                "{path:?}"
            );
        }
        assert!(paths.insert(path_of(&key)), "{key:?}");
    }
}

#[test]
fn plain_paths_are_kept() {
    for key in ["a", "a/b/c.txt", "ü", ".hidden", "a b"] {
        assert_eq!(path_of(key.as_bytes()), Path::new(key));
    }
}

#[test]
fn hexadecimal_paths_of_different_keys_never_lie_below_each_other() {
    let paths: Vec<PathBuf> = (1..=400).map(|bytes| hexadecimal_path(&vec![0xab; bytes])).collect();
    for path in &paths {
        assert_eq!(paths.iter().filter(|other| other.starts_with(path)).count(), 1, "{path:?}");
    }
}

#[test]
fn the_command_s_own_files_are_no_keys() {
    for name in [".canopy-export.json", ".canopy-part-12", "a/.canopy-part-12", ".canopy-keys/zz", ".canopy-keys/61"] {
        assert_eq!(key_of(Path::new(name)), None, "{name}");
    }
}
