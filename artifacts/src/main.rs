//! Writes a canister's module to a file: `canopy-artifacts <router|shard> <path>`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, path] = arguments.as_slice() else {
        eprintln!("usage: canopy-artifacts <router|shard> <path>");
        return ExitCode::from(2);
    };
    let Some(module) = canopy_artifacts::module(name) else {
        eprintln!("there is no canister {name}, only router and shard");
        return ExitCode::from(2);
    };
    if let Err(error) = std::fs::write(path, module) {
        eprintln!("{path}: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
