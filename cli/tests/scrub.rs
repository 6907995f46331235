use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use candid::{CandidType, Principal};
use canopy_types::HashSecret;
use canopy_types::api::RoutingTableResult;
use canopy_types::api::uploads::GetManifestResult;
use canopy_types::codec::{decode, encode};
use canopy_types::uploads::chunk_key;
use canopy_types::uploads::shard::{ChunksArguments, DeleteChunksResult};
use ic_agent::Agent;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::fixture::{Network, text};
use crate::relay;

/// Calls a method, and reads the reply.
fn call<R: CandidType + DeserializeOwned>(network: &Network, method: &str, arguments: &str) -> R {
    let told = network.json(&["call", &network.router, method, arguments]);
    decode(&STANDARD.decode(told["reply_base64"].as_str().expect("text")).expect("base64")).expect("what is asked for")
}

/// Deletes a chunk behind its upload's back: an administrator can make a shard obey another router.
fn lose_chunk(network: &Network, key: &str, index: u32) {
    let manifest: GetManifestResult = call(network, "get_manifest", &format!("(record {{ key = blob \"{key}\" }})"));
    let upload = manifest.expect("an answer").expect("a large value").upload;
    let routes: RoutingTableResult = call(network, "routing_table", "()");
    let routes = routes.expect("an administrator may");
    let secret = HashSecret::from_slice(routes.secret.as_ref().expect("it is told")).expect("as many bytes");
    let route = routes.into_table();
    let shard = route.find(secret.hash(&chunk_key(upload, index))).expect("every hash is owned").shard;
    let adopt = |router: &str| {
        let arguments = format!("(record {{ router = principal \"{router}\" }})");
        let told = network.done(&["call", &shard.to_text(), "adopt_router", &arguments]);
        assert!(told.contains("Ok"), "{told}");
    };
    adopt(&network.application);
    let arguments = ChunksArguments { upload, key_hash: secret.hash(key.as_bytes()), indexes: vec![index] };
    let deleted: DeleteChunksResult =
        decode(&pass_on(network, shard, "delete_chunks", &encode(&arguments))).expect("an answer");
    assert_eq!(deleted, Ok(()));
    adopt(&network.router);
}

/// Has the application call a method of a shard.
fn pass_on(network: &Network, shard: Principal, method: &str, arguments: &[u8]) -> Vec<u8> {
    let relay = Principal::from_text(&network.application).expect("an id");
    let agent = Agent::builder().with_url(&network.url).build().expect("a URL");
    agent.set_root_key(hex::decode(&network.root_key).expect("hexadecimal"));
    let argument = relay::argument(shard, method, arguments);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        agent.update(&relay, "call").with_arg(argument).call_and_wait().await.expect("the shard answers its router")
    })
}

#[test]
fn what_is_missing_is_found_and_ends_with_status_1() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (file, application) = (folder.path().join("film"), folder.path().join("relay.wasm"));
    std::fs::write(&file, vec![7; 2_500_000]).expect("writable");
    std::fs::write(&application, relay::wasm()).expect("writable");
    let network = Network::start_with(&["--application", text(&application)]);
    let clean = network.done(&["scrub"]);
    assert_eq!(clean, "looked at 0 uploads, 0 manifests, 0 chunks: nothing is left over, nothing is missing\n");
    network.done(&["put", "small", "value"]);
    network.done(&["put", "film", "--file", text(&file)]);
    assert_eq!(network.json(&["scrub"]), json!({ "uploads": 1, "manifests": 1, "chunks": 3, "strays": 0 }));

    lose_chunk(&network, "film", 1);
    let run = network.run(&["scrub"]).failed(1, "1 stray was found");
    let told = String::from_utf8(run.output).expect("text");
    assert!(told.contains("published upload without 1 chunks, the first is 1") && told.contains(" film "), "{told}");
    assert!(told.contains("looked at 1 uploads, 1 manifests, 2 chunks"), "{told}");
    let run = network.run(&["scrub", "--json"]);
    assert_eq!(run.code, 1, "{run:?}");
    let lines: Vec<Value> = String::from_utf8(run.output)
        .expect("text")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!((lines.len(), &lines[1]["strays"]), (2, &json!(1)));
    let found = &lines[0];
    assert_eq!(
        (&found["stray"], &found["key"], &found["missing"]),
        (&json!("chunks_missing"), &json!("film"), &json!(1))
    );
    assert_eq!(
        (&found["first"], &found["state"], &found["bytes"]),
        (&json!(1), &json!("published"), &json!(2_500_000))
    );
    let error: Value = serde_json::from_str(run.errors.trim()).expect("JSON");
    assert_eq!(error["error"]["kind"], "incomplete");

    network.run(&["scrub", "--identity", "anonymous"]).failed(3, "may not");
    assert!(network.done(&["scrub", "--help"]).contains("canopy scrub --json"));
}
