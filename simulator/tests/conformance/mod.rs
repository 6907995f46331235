//! What a real PocketIC server answered, recorded, and held against the simulator: see `README.md` beside this file.
//!
//! Each case is a test of its own. It makes a fresh instance on one server that all cases share, and compares what it
//! observes with `golden/<topic>.<case>.json`.

use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::{LazyLock, mpsc};
use std::time::Duration;

use canopy_simulator::server::{Server, ServerOptions};
use serde_json::Value;

pub mod cases;
pub mod meter;
pub mod net;
pub mod program;

/// The longest time that one case may take.
const CASE_MAX: Duration = Duration::from_secs(300);

/// Cases in which the simulator differs from the real server, with the reason. The list is exact: one of these that
/// passes is reported as a failure, so that it is struck off.
const KNOWN_DIFFERENCES: &[(&str, &str)] = &[];

/// `cases!("topic": one, two)` makes functions of the module cases of the topic, each with a test.
#[macro_export]
macro_rules! conformance_cases {
    ($topic:literal: $($name:ident),* $(,)?) => {
        pub const NAMES: &[&str] = &[$(concat!($topic, ".", stringify!($name))),*];

        mod checks {
            $(#[test]
            fn $name() {
                $crate::conformance::check(concat!($topic, ".", stringify!($name)), super::$name);
            })*
        }
    };
}
pub use conformance_cases as cases;

/// The server under test: the one that `CANOPY_POCKET_IC_URL` names, or a simulator in this process.
static URL: LazyLock<String> = LazyLock::new(|| match std::env::var("CANOPY_POCKET_IC_URL") {
    Ok(url) => url,
    Err(_) => {
        let server = Server::start(ServerOptions::default()).expect("a free port");
        let url = server.url();
        // It serves all tests of the process, and ends with it.
        std::mem::forget(server);
        url
    }
});

fn url() -> &'static str {
    URL.trim_end_matches('/')
}

fn is_simulator() -> bool {
    std::env::var_os("CANOPY_POCKET_IC_URL").is_none()
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/golden").join(format!("{name}.json"))
}

/// Runs a case and panics with the differences, or when a known one is gone. `CONFORMANCE_RECORD` writes the golden
/// file instead.
pub fn check(name: &'static str, run: fn() -> Value) {
    let observed = observe(run);
    if std::env::var_os("CONFORMANCE_RECORD").is_some() {
        let text = serde_json::to_string_pretty(&observed.expect("a case that runs")).expect("JSON");
        return std::fs::write(golden(name), text + "\n").expect("a golden file that can be written");
    }
    let differences = match observed {
        Ok(observed) => {
            let text = std::fs::read_to_string(golden(name)).expect("a golden file for every case");
            let expected = serde_json::from_str(&text).expect("a golden file of JSON");
            let mut differences = Vec::new();
            compare("", &expected, &observed, &mut differences);
            differences
        }
        Err(text) => vec![text],
    };
    let known = KNOWN_DIFFERENCES.iter().find(|(known, _)| *known == name && is_simulator());
    match (known, differences.as_slice()) {
        (None, []) => {}
        (None, differences) => panic!("{name} differs from the real server:\n    {}", differences.join("\n    ")),
        (Some(_), []) => panic!("{name} no longer differs from the real server: strike it off KNOWN_DIFFERENCES"),
        (Some((_, reason)), differences) => println!("known to differ ({reason}):\n    {}", differences.join("\n    ")),
    }
}

/// Runs a case on a thread of its own, so that the names of canisters belong to it alone; left behind when it hangs.
fn observe(run: fn() -> Value) -> Result<Value, String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(catch_unwind(run)));
    let result = receiver.recv_timeout(CASE_MAX).map_err(|_| format!("no result in {CASE_MAX:?}"))?;
    result.map_err(|payload| format!("panic: {}", net::panic_text(&*payload)))
}

/// Exact, but for numbers under a key that ends in `_instructions` (1 % or 200) or `_cycles` (1 %).
/// The key of a list or map also holds for the numbers in it.
fn compare(path: &str, expected: &Value, got: &Value, out: &mut Vec<String>) {
    let same = match (expected, got) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            let absent = Value::String("(absent)".to_string());
            for key in keys {
                compare(&format!("{path}/{key}"), a.get(key).unwrap_or(&absent), b.get(key).unwrap_or(&absent), out);
            }
            return;
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}/{index}"), a, b, out);
            }
            return;
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            let slack = if path.split('/').any(|key| key.ends_with("_instructions")) {
                (a.abs() * 0.01).max(200.0)
            } else if path.split('/').any(|key| key.ends_with("_cycles")) {
                a.abs() * 0.01
            } else {
                0.0
            };
            if slack > 0.0 { (a - b).abs() <= slack } else { expected == got }
        }
        _ => expected == got,
    };
    if !same {
        out.push(format!("{path}: expected {expected}, got {got}"));
    }
}

#[test]
fn golden_files_and_cases_and_known_differences_agree() {
    let mut cases: Vec<&str> = cases::TOPICS.concat();
    cases.sort();
    let folder = golden("any").parent().expect("a folder").read_dir().expect("the golden files");
    let stem = |path: PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let mut files: Vec<String> = folder.filter_map(|entry| stem(entry.expect("an entry").path())).collect();
    files.sort();
    assert_eq!(cases, files);
    for (known, _) in KNOWN_DIFFERENCES {
        assert!(cases.contains(known), "{known} is no case");
    }
}
