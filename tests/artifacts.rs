//! What the built Wasm contains.

use std::io::Read;

use canopy_artifacts::{ROUTER_WASM, SHARD_WASM};
use flate2::read::GzDecoder;
use wasmparser::{Parser, Payload};

/// Both must fit one message to the management canister, with room for arguments; the router contains the shard.
const ROUTER_WASM_BYTES_MAX: usize = 1_900_000;
const SHARD_WASM_BYTES_MAX: usize = 700_000;

/// Bound on a module before it is compressed.
const MODULE_BYTES_MAX: u64 = 16 * 1024 * 1024;

const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 0x08];

fn decompress(wasm: &[u8]) -> Vec<u8> {
    let mut module = vec![];
    GzDecoder::new(wasm).take(MODULE_BYTES_MAX).read_to_end(&mut module).expect("the artifact is compressed");
    module
}

/// Finds a custom section of a compressed module.
fn custom_section(wasm: &[u8], name: &str) -> Option<Vec<u8>> {
    let module = decompress(wasm);
    Parser::new(0).parse_all(&module).find_map(|payload| match payload.expect("the module is valid") {
        Payload::CustomSection(section) if section.name() == name => Some(section.data().to_vec()),
        _ => None,
    })
}

#[test]
fn each_artifact_tells_its_interface() {
    let interfaces =
        [(ROUTER_WASM, include_str!("../router/router.did")), (SHARD_WASM, include_str!("../shard/shard.did"))];
    for (wasm, interface) in interfaces {
        let section = custom_section(wasm, "icp:public candid:service").expect("the module tells its interface");
        assert!(section == interface.as_bytes(), "the interface in the module is the one in the repository");
    }
}

#[test]
fn the_artifacts_are_compressed_without_a_time_and_small() {
    for (wasm, bytes_max) in [(ROUTER_WASM, ROUTER_WASM_BYTES_MAX), (SHARD_WASM, SHARD_WASM_BYTES_MAX)] {
        assert_eq!(wasm[..3], GZIP_MAGIC);
        assert_eq!(wasm[4..8], [0; 4], "a time would make every build different");
        assert!(wasm.len() <= bytes_max, "{} bytes, and {bytes_max} are allowed", wasm.len());
        assert!(decompress(wasm).starts_with(b"\0asm"));
    }
}

#[test]
fn the_artifacts_tell_no_path_of_the_machine_that_built_them() {
    let home = std::env::var("HOME").unwrap_or_default();
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    for wasm in [ROUTER_WASM, SHARD_WASM] {
        let module = decompress(wasm);
        for path in [workspace.trim_end_matches("tests/"), &format!("{home}/.cargo/registry")] {
            let found = path.len() > 1 && module.windows(path.len()).any(|window| window == path.as_bytes());
            assert!(!found, "the module contains {path}");
        }
    }
}
