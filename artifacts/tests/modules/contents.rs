//! What the built modules contain.

use canopy_artifacts::{ROUTER_SHA256, ROUTER_WASM, SHARD_SHA256, SHARD_WASM};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::io::Read;
use wasmparser::{Parser, Payload, Validator};

fn unpack(compressed: &[u8]) -> Vec<u8> {
    let mut module = Vec::new();
    flate2::read::GzDecoder::new(compressed).read_to_end(&mut module).unwrap();
    module
}

fn payloads(module: &[u8]) -> Vec<Payload<'_>> {
    Parser::new(0).parse_all(module).map(Result::unwrap).collect()
}

fn custom_section(module: &[u8], name: &str) -> Option<Vec<u8>> {
    payloads(module).into_iter().find_map(|payload| match payload {
        Payload::CustomSection(section) if section.name() == name => Some(section.data().to_vec()),
        _ => None,
    })
}

fn exports(module: &[u8]) -> BTreeSet<String> {
    let sections = payloads(module).into_iter().filter_map(|payload| match payload {
        Payload::ExportSection(section) => Some(section),
        _ => None,
    });
    sections
        .flatten()
        .map(|export| export.unwrap().name.to_string())
        .filter(|name| name.starts_with("canister"))
        .collect()
}

#[test]
fn modules_are_valid_wasm_that_imports_the_platform_only() {
    for compressed in [ROUTER_WASM, SHARD_WASM] {
        let module = unpack(compressed);
        Validator::new().validate_all(&module).unwrap();
        let mut imports = 0;
        for payload in payloads(&module) {
            let Payload::ImportSection(section) = payload else { continue };
            for import in section.into_imports() {
                assert_eq!(import.unwrap().module, "ic0");
                imports += 1;
            }
        }
        assert!(imports > 0);
    }
}

#[test]
fn modules_carry_their_interface_and_version() {
    let routers = (ROUTER_WASM, include_str!("../../../router/router.did"));
    let shards = (SHARD_WASM, include_str!("../../../shard/shard.did"));
    for (compressed, interface) in [routers, shards] {
        let module = unpack(compressed);
        assert_eq!(custom_section(&module, "icp:public candid:service").unwrap(), interface.as_bytes());
        let version = custom_section(&module, "icp:public canopy:version").unwrap();
        assert_eq!(version, env!("CARGO_PKG_VERSION").as_bytes());
    }
}

#[test]
fn modules_export_their_methods_and_nothing_else() {
    let router = [
        "canister_composite_query get_query",
        "canister_global_timer",
        "canister_init",
        "canister_inspect_message",
        "canister_post_upgrade",
        "canister_pre_upgrade",
        "canister_query routing_table",
        "canister_query status",
        "canister_update delete",
        "canister_update get",
        "canister_update put",
        "canister_update resolve_alarm",
        "canister_update split_shard",
        "canister_update merge_shard",
        "canister_update stop_transfer",
        "canister_update grant",
        "canister_update revoke",
        "canister_query roles",
        "canister_query policy",
        "canister_update renew_roles",
        "canister_update set_policy",
        "canister_update put_many",
        "canister_update get_many",
        "canister_update delete_many",
        "canister_update scan",
        "canister_composite_query scan_query",
        "canister_update begin_upload",
        "canister_update put_chunk",
        "canister_update commit_upload",
        "canister_update abort_upload",
        "canister_update upload_status",
        "canister_update get_manifest",
        "canister_composite_query get_manifest_query",
        "canister_update get_chunk",
        "canister_composite_query get_chunk_query",
        "canister_update collect_uploads",
        "canister_update scrub",
        "canister_update retire_shard",
        "canister_update recover",
    ];
    let shard = [
        "canister_global_timer",
        "canister_init",
        "canister_inspect_message",
        "canister_post_upgrade",
        "canister_pre_upgrade",
        "canister_query get_query",
        "canister_query info",
        "canister_update transfer_progress",
        "canister_update apply",
        "canister_update begin_transfer",
        "canister_update cancel_transfer",
        "canister_update hand_over",
        "canister_update import_batch",
        "canister_update delete",
        "canister_update get",
        "canister_update put",
        "canister_update set_roles",
        "canister_query scan",
        "canister_update put_chunk",
        "canister_query get_chunk",
        "canister_query get_manifest",
        "canister_update open_upload",
        "canister_update upload",
        "canister_update close_upload",
        "canister_update publish_upload",
        "canister_update chunk_digests",
        "canister_update delete_chunks",
        "canister_update finish_collection",
        "canister_query scrub",
        "canister_query look_up",
        "canister_update abandon_transfer",
        "canister_update adopt_router",
        "canister_query recall",
        "canister_on_low_wasm_memory",
    ];
    assert_eq!(exports(&unpack(ROUTER_WASM)), router.map(str::to_string).into());
    assert_eq!(exports(&unpack(SHARD_WASM)), shard.map(str::to_string).into());
}

#[test]
fn router_carries_the_very_shard_that_is_built_beside_it() {
    let router = unpack(ROUTER_WASM);
    assert!(router.windows(SHARD_WASM.len()).any(|window| window == SHARD_WASM));
    for (module, hash) in [(ROUTER_WASM, ROUTER_SHA256), (SHARD_WASM, SHARD_SHA256)] {
        let real: String = Sha256::digest(module).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(real, hash);
    }
}

#[test]
fn modules_name_no_folder_of_the_machine_that_built_them() {
    let home = std::env::home_dir().expect("a home").display().to_string();
    for compressed in [ROUTER_WASM, SHARD_WASM] {
        let module = unpack(compressed);
        for folder in [home.as_str(), env!("CARGO_MANIFEST_DIR")] {
            assert!(!module.windows(folder.len()).any(|window| window == folder.as_bytes()), "{folder}");
        }
    }
}
