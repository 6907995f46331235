use std::io::Write;
use std::time::Duration;

use candid::Principal;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::activity::Activity;
use super::answer::{Answer, Refusal};
use super::blobs::Blobs;
use super::creation::InstanceConfig;
use super::operations::Operations;
use super::wire::{self, Base64, RawAddCycles, RawCanisterCall, RawEffectivePrincipal, RawPrincipal, RejectResponse};
use crate::chance::Schedule;
use crate::errors::{ErrorCode, UserError};
use crate::instance::{CostSchedule, InstructionProfile, NetworkConfig, SubnetKind};

fn network(config: Value) -> Result<NetworkConfig, Refusal> {
    let config: InstanceConfig = wire::decode(config.to_string().as_bytes())?;
    config.network(3, Schedule::Shuffled)
}

fn subnet() -> Value {
    json!({ "state_config": "New", "instruction_config": "Production" })
}

#[test]
fn bytes_travel_as_base64() {
    let text = serde_json::to_string(&Base64(vec![0, 255, 62])).expect("JSON");
    assert_eq!(text, "\"AP8+\"");
    assert_eq!(serde_json::from_str::<Base64>(&text).expect("base64").0, [0, 255, 62]);
    assert!(serde_json::from_str::<Base64>("\"AP8\"").is_err(), "padding is part of it");
}

#[test]
fn principals_of_more_than_29_bytes_are_malformed() {
    let of = |bytes: usize| serde_json::to_string(&Base64(vec![1; bytes])).expect("JSON");
    assert_eq!(serde_json::from_str::<RawPrincipal>(&of(29)).expect("fits").0, Principal::from_slice(&[1; 29]));
    assert!(serde_json::from_str::<RawPrincipal>(&of(30)).is_err());
}

#[test]
fn amounts_have_128_bits() {
    let text = format!("{{\"canister_id\":\"\",\"amount\":{}}}", u128::MAX);
    assert_eq!(wire::decode::<RawAddCycles>(text.as_bytes()).expect("decodes").amount, u128::MAX);
}

#[test]
fn calls_are_read_with_and_without_sender_info() {
    let mut call = json!({ "sender": "BA==", "canister_id": "", "effective_principal": { "CanisterId": "BA==" },
        "method": "m", "payload": "" });
    let read = |call: &Value| wire::decode::<RawCanisterCall>(call.to_string().as_bytes()).expect("a call");
    let expected = RawEffectivePrincipal::CanisterId(RawPrincipal(Principal::anonymous()));
    assert_eq!(read(&call).effective_principal, expected);
    call["sender_info"] = json!({ "info": "", "signer": "" });
    assert_eq!(read(&call).canister_id.0, Principal::management_canister());
}

#[test]
fn codes_travel_as_names() {
    let error = UserError::new(ErrorCode::CanisterCalledTrap, "it trapped");
    let shown = serde_json::to_value(RejectResponse::new(error, true)).expect("JSON");
    let expected = json!({ "reject_code": "CanisterError", "error_code": "CanisterCalledTrap",
        "reject_message": "it trapped", "certified": true });
    assert_eq!(shown, expected);
}

#[test]
fn subnets_come_named_first_with_their_settings() {
    let mut free = subnet();
    free["cost_schedule"] = json!("Free");
    free["subnet_admins"] = json!([{ "principal_id": "BA==" }]);
    free["instruction_config"] = json!("Benchmarking");
    let set = json!({ "nns": subnet(), "ii": subnet(), "application": [subnet(), free], "system": [subnet()] });
    let time = json!({ "Timestamp": { "nanos_since_epoch": 1_700_000_000_000_000_000_u64 } });
    let network = network(json!({ "subnet_config_set": set, "initial_time": time })).expect("a network");
    let kinds: Vec<SubnetKind> = network.subnets.iter().map(|subnet| subnet.kind).collect();
    use SubnetKind::*;
    assert_eq!(kinds, [Nns, InternetIdentity, System, Application, Application]);
    let last = network.subnets.last().expect("five subnets");
    assert_eq!((last.instructions, last.cost_schedule), (InstructionProfile::Benchmarking, CostSchedule::Free));
    assert_eq!(last.admins, [Principal::anonymous()]);
    assert_eq!(network.initial_time_nanos, Some(1_700_000_000_000_000_000));
    assert_eq!((network.seed, network.schedule), (3, Schedule::Shuffled));
}

#[test]
fn settings_that_change_nothing_are_accepted_and_others_refused() {
    let with = |settings: Value| {
        let set = json!({ "application": [subnet()] });
        network(json!({ "subnet_config_set": set, "icp_config": settings }))
    };
    assert!(with(json!({ "beta_features": "Disabled", "canister_execution_rate_limiting": null })).is_ok());
    assert!(with(json!({ "function_name_length_limits": "Disabled" })).is_ok());
    assert!(with(json!({ "beta_features": "Enabled" })).is_err());
    assert!(with(json!({ "canister_execution_rate_limiting": "Disabled" })).is_err());
    assert!(with(json!({ "gravity": "Disabled" })).is_err());
}

#[test]
fn number_of_subnets_is_bounded() {
    let with = |count| network(json!({ "subnet_config_set": { "application": vec![subnet(); count] } }));
    assert!(with(0).is_err());
    assert_eq!(with(64).expect("the most").subnets.len(), 64);
    assert!(with(65).is_err());
}

#[test]
fn blob_is_named_by_what_was_uploaded_and_unfolds() {
    let blobs = Blobs::default();
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    zip.write_all(&[7; 10_000]).expect("memory");
    let zipped = zip.finish().expect("memory");
    let (plain_id, zipped_id) = (blobs.put(zipped.clone(), false), blobs.put(zipped.clone(), true));
    assert_eq!(plain_id, zipped_id);
    assert_eq!(blobs.get(&zipped_id).expect("is there").unfold().expect("gzip"), [7; 10_000]);
    let other = blobs.put(vec![1, 2, 3], true);
    assert!(blobs.get(&other).expect("is there").unfold().is_err());
    assert!(blobs.get(&[0; 32]).is_err());
    assert!(blobs.get(&[]).is_err());
}

#[test]
fn server_is_idle_only_when_nothing_is_pending() {
    let activity = Activity::default();
    let (first, second) = (activity.begin(), activity.begin());
    drop(first);
    assert_eq!(activity.idle_for(), None);
    drop(second);
    assert!(activity.idle_for().is_some());
}

#[tokio::test]
async fn answer_in_time_is_given_at_once_and_a_late_one_is_kept() {
    let (operations, activity) = (Operations::default(), Activity::default());
    let label = || "0".to_string();
    let (sender, receiver) = oneshot::channel();
    sender.send(Ok(Answer::ok(&1))).expect("somebody waits");
    let answer = operations.wait_or_keep(label(), Duration::from_secs(5), receiver, activity.begin()).await;
    assert_eq!(answer, Answer::ok(&1));

    let (sender, receiver) = oneshot::channel();
    operations.wait_or_keep(label(), Duration::ZERO, receiver, activity.begin()).await;
    assert!(matches!(operations.read("0", "1"), Err(Refusal::NotFound(_))));
    assert_eq!(activity.idle_for(), None, "a running operation keeps the server alive");
    sender.send(Ok(Answer::ok(&2))).expect("somebody waits");
    while activity.idle_for().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(operations.read("0", "1"), Ok(Answer::ok(&2)));
    assert!(operations.read("1", "1").is_err(), "the label is part of the name");
    assert_eq!(operations.prune("0", "1"), Ok(()));
    assert!(operations.prune("0", "1").is_err());
}

#[tokio::test]
async fn operation_of_a_deleted_instance_is_refused() {
    let (sender, receiver) = oneshot::channel::<Result<Answer, Refusal>>();
    drop(sender);
    let pending = Activity::default().begin();
    let answer = Operations::default().wait_or_keep("0".to_string(), Duration::from_secs(5), receiver, pending).await;
    assert_eq!(answer, Refusal::Bad("The instance was deleted before it answered.".to_string()).into());
}
