//! What can be asked of an instance. Each function runs on the instance's thread.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{self, MethodRouter};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::{Answer, Refusal};
use super::creation::RawTopology;
use super::wire::*;
use super::{App, BODY_BYTES_MAX, body_of, respond, wait_of};
use crate::instance::{BadRequest, CanisterCall, EffectivePrincipal, IngressStatus, Instance, MessageId};

/// Serves a GET without arguments.
pub fn read<R>(work: fn(&mut Instance) -> Result<R, Refusal>) -> MethodRouter<App>
where
    R: Serialize + 'static,
{
    routing::get(move |app: State<App>, instance: Path<String>, headers: HeaderMap| async move {
        respond(run(app, instance, headers, work).await)
    })
}

/// Serves a POST whose body is JSON.
pub fn with<T, R>(work: fn(&mut Instance, T) -> Result<R, Refusal>) -> MethodRouter<App>
where
    T: DeserializeOwned + Send + 'static,
    R: Serialize + 'static,
{
    routing::post(move |app: State<App>, instance: Path<String>, headers: HeaderMap, body: Body| async move {
        let answer = async {
            let arguments: T = decode(&body_of(body, BODY_BYTES_MAX).await?)?;
            run(app, instance, headers, move |instance| work(instance, arguments)).await
        };
        respond(answer.await)
    })
}

/// Hands work to an instance and waits for its answer as long as the client wants to.
async fn run<R: Serialize>(
    State(app): State<App>,
    Path(instance): Path<String>,
    headers: HeaderMap,
    work: impl FnOnce(&mut Instance) -> Result<R, Refusal> + Send + 'static,
) -> Result<Answer, Refusal> {
    let wait = wait_of(&headers)?;
    let entry = app.instances.find(&instance)?;
    let pending = app.activity.begin();
    let answer = entry.host.submit(move |instance| match work(instance) {
        Ok(result) => Answer::ok(&result),
        Err(refusal) => refusal.into(),
    })?;
    Ok(app.operations.wait_or_keep(entry.id.to_string(), wait, answer, pending).await)
}

pub fn topology(instance: &mut Instance) -> Result<RawTopology, Refusal> {
    Ok(instance.topology().into())
}

pub fn time(instance: &mut Instance) -> Result<RawTime, Refusal> {
    Ok(RawTime { nanos_since_epoch: instance.time_nanos() })
}

/// Lists HTTP outcalls that wait for a mocked response: none, the simulator rejects outcalls at once.
pub fn outcalls(_: &mut Instance) -> Result<[(); 0], Refusal> {
    Ok([])
}

pub fn mock_outcall(_: &mut Instance, _: Value) -> Result<(), Refusal> {
    Err(Refusal::Bad("No HTTP outcall waits: the simulator rejects them at once.".to_string()))
}

pub fn delete_subnet(_: &mut Instance, _: RawSubnetId) -> Result<(), Refusal> {
    Err(Refusal::Bad("The simulator can't delete subnets.".to_string()))
}

pub fn snapshot_files(_: &mut Instance, _: Value) -> Result<(), Refusal> {
    let hint = "use the snapshot methods of the management canister";
    Err(Refusal::Bad(format!("The simulator does not keep snapshots in files; {hint}.")))
}

pub fn set_time(instance: &mut Instance, time: RawTime) -> Result<(), Refusal> {
    instance.set_time(time.nanos_since_epoch).map_err(Refusal::Bad)
}

pub fn set_certified_time(instance: &mut Instance, time: RawTime) -> Result<(), Refusal> {
    instance.set_certified_time(time.nanos_since_epoch).map_err(Refusal::Bad)
}

/// Runs a round. Blockmakers are checked, and then of no consequence: no method of the simulator names them.
pub fn tick(instance: &mut Instance, config: RawTickConfigs) -> Result<(), Refusal> {
    let named = config.blockmakers.unwrap_or_default();
    if !named.is_empty() {
        let topology = instance.topology();
        for choice in named {
            let id = choice.subnet.subnet_id.0;
            let subnet = topology.subnets.get(&id);
            let subnet = subnet.ok_or_else(|| Refusal::Bad(format!("There is no subnet {id}.")))?;
            for RawNodeId { node_id } in choice.failed_blockmakers.into_iter().chain([choice.blockmaker]) {
                if !subnet.node_ids.contains(&node_id.0) {
                    return Err(Refusal::Bad(format!("There is no node {} on subnet {id}.", node_id.0)));
                }
            }
        }
    }
    instance.tick();
    Ok(())
}

pub fn query(instance: &mut Instance, call: RawCanisterCall) -> Result<RawResult<Base64>, Refusal> {
    let outcome = instance.query(call.into()).map_err(bad)?;
    Ok(canister_result(outcome, false))
}

pub fn submit_ingress(instance: &mut Instance, call: RawCanisterCall) -> Result<RawResult<RawMessageId>, Refusal> {
    Ok(match instance.submit_ingress(call.into()).map_err(bad)? {
        Ok(id) => {
            let subnet = instance.subnet_of_ingress(&id).expect("a message that was accepted has a subnet");
            RawResult::Ok(RawMessageId {
                effective_principal: RawEffectivePrincipal::SubnetId(RawPrincipal(subnet)),
                message_id: Base64(id.0.to_vec()),
            })
        }
        Err(error) => RawResult::Err(RejectResponse::new(error, false)),
    })
}

pub fn await_ingress(instance: &mut Instance, message: RawMessageId) -> Result<RawResult<Base64>, Refusal> {
    let outcome = instance.await_ingress(&message_id(&message)?).map_err(bad)?;
    Ok(canister_result(outcome, true))
}

/// Answers `null` while the message has no answer.
pub fn ingress_status(
    instance: &mut Instance,
    args: RawIngressStatusArgs,
) -> Result<Option<RawResult<Base64>>, Refusal> {
    let id = message_id(&args.raw_message_id)?;
    let caller = args.raw_caller.map(|caller| caller.principal_id.0);
    let status = instance.ingress_status(&id, caller);
    let foreign = |_| Refusal::Forbidden("The message was submitted by another caller.".to_string());
    Ok(match status.map_err(foreign)? {
        IngressStatus::Replied(bytes) => Some(canister_result(Ok(bytes), true)),
        IngressStatus::Rejected(error) => Some(canister_result(Err(error), true)),
        IngressStatus::Unknown | IngressStatus::Received | IngressStatus::Processing | IngressStatus::Done => None,
    })
}

pub fn cycles(instance: &mut Instance, RawCanisterId { canister_id }: RawCanisterId) -> Result<RawCycles, Refusal> {
    let cycles = instance.cycles(&canister_id.0);
    cycles.map(|cycles| RawCycles { cycles }).ok_or_else(|| no_canister(canister_id))
}

pub fn add_cycles(instance: &mut Instance, args: RawAddCycles) -> Result<RawCycles, Refusal> {
    let cycles = instance.add_cycles(&args.canister_id.0, args.amount);
    cycles.map(|cycles| RawCycles { cycles }).ok_or_else(|| no_canister(args.canister_id))
}

pub fn controllers(
    instance: &mut Instance,
    RawCanisterId { canister_id }: RawCanisterId,
) -> Result<Vec<RawPrincipalId>, Refusal> {
    let controllers = instance.controllers(&canister_id.0).ok_or_else(|| no_canister(canister_id))?;
    Ok(controllers.into_iter().map(|id| RawPrincipalId { principal_id: RawPrincipal(id) }).collect())
}

pub fn stable_memory(
    instance: &mut Instance,
    RawCanisterId { canister_id }: RawCanisterId,
) -> Result<RawStableMemory, Refusal> {
    let blob = instance.stable_memory(&canister_id.0).ok_or_else(|| no_canister(canister_id))?;
    Ok(RawStableMemory { blob: Base64(blob) })
}

/// Sets a stable memory from a blob.
pub async fn set_stable_memory(
    State(app): State<App>,
    instance: Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let args: RawSetStableMemory = decode(&body_of(body, BODY_BYTES_MAX).await?)?;
        let blob = app.blobs.get(&args.blob_id.0)?;
        let canister = args.canister_id;
        run(State(app), instance, headers, move |instance| {
            let bytes = blob.unfold()?;
            match instance.set_stable_memory(&canister.0, &bytes) {
                true => Ok(()),
                false => Err(Refusal::Bad(format!("Canister {} does not exist or has no module.", canister.0))),
            }
        })
        .await
    };
    respond(answer.await)
}

/// Answers `null` for a canister that doesn't exist.
pub fn subnet_of(
    instance: &mut Instance,
    RawCanisterId { canister_id }: RawCanisterId,
) -> Result<Option<RawSubnetId>, Refusal> {
    Ok(instance.subnet_of(&canister_id.0).map(|id| RawSubnetId { subnet_id: RawPrincipal(id) }))
}

/// Answers the DER bytes as a list of numbers.
pub fn public_key(instance: &mut Instance, RawSubnetId { subnet_id }: RawSubnetId) -> Result<Vec<u8>, Refusal> {
    let key = instance.public_key(&subnet_id.0);
    let key = key.ok_or_else(|| Refusal::Bad(format!("There is no subnet {}.", subnet_id.0)))?;
    Ok(key.to_vec())
}

impl From<RawCanisterCall> for CanisterCall {
    fn from(call: RawCanisterCall) -> Self {
        Self {
            sender: call.sender.0,
            canister_id: call.canister_id.0,
            effective: match call.effective_principal {
                RawEffectivePrincipal::None => EffectivePrincipal::None,
                RawEffectivePrincipal::SubnetId(id) => EffectivePrincipal::SubnetId(id.0),
                RawEffectivePrincipal::CanisterId(id) => EffectivePrincipal::CanisterId(id.0),
            },
            method: call.method,
            payload: call.payload.0,
        }
    }
}

fn message_id(message: &RawMessageId) -> Result<MessageId, Refusal> {
    let id = message.message_id.0.as_slice().try_into();
    id.map(MessageId).map_err(|_| Refusal::Bad("A message id has 32 bytes.".to_string()))
}

fn bad(BadRequest(text): BadRequest) -> Refusal {
    Refusal::Bad(text)
}

fn no_canister(id: RawPrincipal) -> Refusal {
    Refusal::Bad(format!("Canister {} does not exist.", id.0))
}
