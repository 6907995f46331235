//! Upgrades from every released version.
//!
//! `releases/manifest.json` lists the versions whose Wasm is kept, oldest first:
//! `{"releases": [{"version": "0.1.0", "router": {"file": "0.1.0/router.wasm.gz", "bytes": 1, "sha256": "..."}, "shard": {...}}]}`.

use std::path::{Path, PathBuf};

use canopy_artifacts::{ROUTER_WASM, SHARD_WASM};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::cluster::Cluster;

const RECORDS: u32 = 100;

#[derive(Deserialize)]
struct Manifest {
    releases: Vec<Release>,
}

#[derive(Deserialize)]
struct Release {
    version: String,
    router: StoredWasm,
    shard: StoredWasm,
}

#[derive(Deserialize)]
struct StoredWasm {
    file: PathBuf,
    bytes: usize,
    sha256: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("releases")
}

fn releases() -> Vec<Release> {
    let text = std::fs::read_to_string(folder().join("manifest.json")).expect("releases/manifest.json exists");
    serde_json::from_str::<Manifest>(&text).expect("releases/manifest.json is a manifest").releases
}

impl StoredWasm {
    /// Reads the file and checks that it is the one that was released.
    fn read(&self) -> Vec<u8> {
        let path = folder().join(&self.file);
        let wasm = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(wasm.len(), self.bytes, "{}", path.display());
        assert_eq!(hex::encode(Sha256::digest(&wasm)), self.sha256, "{}", path.display());
        wasm
    }
}

#[test]
fn every_release_upgrades_to_the_current_version_with_its_records() {
    let releases = releases();
    if releases.is_empty() {
        println!("releases/manifest.json lists no release: there is nothing to upgrade from");
    }
    for release in releases {
        println!("upgrading from {}", release.version);
        let cluster = Cluster::builder().initial_shards(2).router_wasm(release.router.read()).ready();
        let key = |number: u32| format!("key {number}").into_bytes();
        for number in 0..RECORDS {
            cluster.store(&key(number), &number.to_be_bytes());
        }
        let stored: Vec<_> = (0..RECORDS).map(|number| cluster.load(&key(number))).collect();
        let table = cluster.routing_table();
        // The router carries its shards' code, so they come from the release too; storing it tells which it was.
        release.shard.read();

        cluster.upgrade_router(ROUTER_WASM);
        check(&cluster, &stored);
        for shard in cluster.shards() {
            cluster.upgrade_shard(shard, SHARD_WASM);
        }
        check(&cluster, &stored);
        assert_eq!(cluster.routing_table(), table);
        let versions = cluster.shards().into_iter().map(|shard| cluster.info(shard).code_version);
        assert!(versions.into_iter().all(|version| version == cluster.status().code_version));
        for number in 0..RECORDS {
            let before = stored[number as usize].as_ref().expect("every record was put");
            assert!(cluster.store(&key(number), b"later") > before.version);
        }
    }
}

fn check(cluster: &Cluster, stored: &[Option<canopy_types::Record>]) {
    for (number, record) in stored.iter().enumerate() {
        assert_eq!(&cluster.load(format!("key {number}").as_bytes()), record);
    }
}
