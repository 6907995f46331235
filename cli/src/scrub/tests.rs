use candid::Principal;
use canopy_client::{KeyHash, UploadId, Version};

use super::*;

fn stray(kind: StrayKind, key: Option<&str>) -> Stray {
    let (upload, shard) = (UploadId([0xab; 16]), Principal::management_canister());
    Stray { kind, upload, shard, hash: KeyHash(0x1f), key: key.map(|key| key.as_bytes().to_vec().into()), bytes: 1_234 }
}

fn all_kinds() -> Vec<Stray> {
    let replaced = UploadState::Replaced { version: Version(3) };
    vec![
        stray(StrayKind::ChunkWithoutUpload { index: 7, key_hash: KeyHash(0x2e) }, None),
        stray(StrayKind::ChunksMissing { state: replaced, missing: 1_000, first: 4 }, Some("film")),
        stray(StrayKind::ManifestWithoutUpload { found: None }, Some("film")),
        stray(StrayKind::ManifestWithoutUpload { found: Some(UploadState::Aborted) }, Some("film")),
        stray(StrayKind::UploadWithoutManifest { version: Version(9) }, Some("film")),
    ]
}

#[test]
fn people_are_told_each_finding_in_a_line() {
    let shown = all_kinds();
    let found = shown.len() as u64 + 2_000;
    let told = report(&Tally { uploads: 1_000, manifests: 2, chunks: 3, found, shown });
    for line in [
        "chunk 7 without upload",
        "replaced upload without 1,000 chunks, the first is 4",
        "manifest without upload",
        "manifest whose upload is aborted",
        "published upload without manifest",
        "and 2,000 more",
        "looked at 1,000 uploads, 2 manifests, 3 chunks",
    ] {
        assert!(told.contains(line), "{line} in {told}");
    }
    assert_eq!(told.lines().count(), 1 + 5 + 2);
    assert!(told.contains("000000000000001f") && told.contains("1,234"), "{told}");
    let clean = report(&Tally { chunks: 5, ..Tally::default() });
    assert_eq!(clean, "looked at 0 uploads, 0 manifests, 5 chunks: nothing is left over, nothing is missing");
}

#[test]
fn machines_are_told_all_fields() {
    let told: Vec<Value> = all_kinds().iter().map(stray_json).collect();
    let common = |value: &Value| (value["upload"].clone(), value["hash"].clone(), value["bytes"].clone());
    assert!(
        told.iter().all(|value| common(value) == (json!("ab".repeat(16)), json!("000000000000001f"), json!(1_234)))
    );
    assert_eq!(told[0]["stray"], "chunk_without_upload");
    assert_eq!(
        (&told[0]["index"], &told[0]["key_hash"], told[0].get("key")),
        (&json!(7), &json!("000000000000002e"), None)
    );
    assert_eq!((&told[1]["missing"], &told[1]["first"], &told[1]["key"]), (&json!(1_000), &json!(4), &json!("film")));
    assert_eq!(
        (&told[1]["state"], &told[2]["state"], &told[3]["state"]),
        (&json!("replaced"), &Value::Null, &json!("aborted"))
    );
    assert_eq!(told[4]["version"], 9);
}
