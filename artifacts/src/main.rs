//! Writes modules to files: one canister's, or both of a release with its manifest.

use std::path::Path;
use std::process::ExitCode;

mod release;

const USAGE: &str = "usage: canopy-artifacts <router|shard> <path>\n       canopy-artifacts release <folder>";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, path] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let path = Path::new(path);
    let written = match (what.as_str(), canopy_artifacts::module(what)) {
        ("release", _) => release::store(path),
        (_, Some(module)) => std::fs::write(path, module).map_err(|error| format!("{}: {error}", path.display())),
        (_, None) => {
            eprintln!("there is no canister {what}, only router and shard\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
