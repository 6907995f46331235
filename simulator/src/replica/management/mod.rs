//! The management canister of a subnet, called as ingress and from canisters.
//!
//! [`methods`] is the table of who may call what and where it goes; one file per family does the work. A family either
//! changes state completely or refuses with an [`errors::Refusal`] and changes nothing (a failed installation still
//! pays for its instructions).

use candid::Principal;

use crate::errors::{RejectCode, UserError};
use crate::replica::ingress::ingress_bytes;
use crate::replica::state::{CallOrigin, Canister, ManagementCall, ManagementOutcome, SubnetState};

mod chunks;
mod compile_cost;
mod create;
mod errors;
mod info;
mod install;
mod lifecycle;
mod logs;
mod memory;
mod methods;
mod payload;
mod randomness;
mod settings;
mod snapshot_data;
mod snapshots;
mod status;

#[cfg(test)]
mod tests;

pub use errors::Refusal;
pub use install::{Installation, advance as advance_installations};
pub use lifecycle::settle_stopping;
pub use memory::memory_of;
pub use methods::Destination;

use methods::{Canisters, Ingress, Method};

/// What a method did.
enum Step {
    /// Answered; `accepted` of the attached cycles stay here, `instructions` count for the round.
    Done {
        reply: Vec<u8>,
        accepted: u128,
        instructions: u64,
    },
    /// Refused after work that counts.
    Failed {
        refusal: Refusal,
        instructions: u64,
    },
    Later,
    NextRound,
}

impl Step {
    fn reply(reply: Vec<u8>) -> Step {
        Step::Done { reply, accepted: 0, instructions: 0 }
    }

    fn nothing() -> Step {
        Step::reply(payload::NOTHING.to_vec())
    }

    fn accepting(self, accepted: u128) -> Step {
        match self {
            Step::Done { reply, accepted: _, instructions } => Step::Done { reply, accepted, instructions },
            other => other,
        }
    }

    fn costing(self, instructions: u64) -> Step {
        match self {
            Step::Done { reply, accepted, instructions: _ } => Step::Done { reply, accepted, instructions },
            other => other,
        }
    }
}

/// Executes one call. Called between messages, from the scheduler; state changes are the callee's own business and
/// are all or nothing. Cycles in `call.cycles` that are not in the outcome's refund are in an account or burned.
pub fn execute(subnet: &mut SubnetState, call: &ManagementCall) -> ManagementOutcome {
    subnet.settle_touched();
    let step = dispatch(subnet, call);
    charge_afterwards(subnet, call);
    match step {
        Ok(Step::Done { reply, accepted, instructions }) => {
            ManagementOutcome::Answered { result: Ok(reply), refund: call.cycles - accepted, instructions }
        }
        Ok(Step::Failed { refusal, instructions }) => {
            ManagementOutcome::Answered { result: Err(refusal.into()), refund: call.cycles, instructions }
        }
        Ok(Step::Later) => ManagementOutcome::Later,
        Ok(Step::NextRound) => ManagementOutcome::NextRound,
        Err(refusal) => {
            ManagementOutcome::Answered { result: Err(refusal.into()), refund: call.cycles, instructions: 0 }
        }
    }
}

fn dispatch(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let rule = methods::rule(&call.method).ok_or_else(|| Refusal::UnknownMethod(call.method.clone()))?;
    if rule.canisters == Canisters::No {
        return Err(Refusal::NotAvailable(rule.name));
    }
    if matches!(call.origin, CallOrigin::Ingress { .. }) {
        accept_rule(rule, &call.method)?;
    }
    match rule.method {
        Method::CanisterInfo => info::canister_info(subnet, call),
        Method::CanisterMetadata => info::canister_metadata(subnet, call),
        Method::CanisterMetrics => status::canister_metrics(subnet, call),
        Method::CanisterStatus => status::canister_status(subnet, call.caller, &call.payload).map(Step::reply),
        Method::ClearChunkStore => chunks::clear_chunk_store(subnet, call),
        Method::CreateCanister => create::create_canister(subnet, call),
        Method::DeleteCanister => lifecycle::delete_canister(subnet, call),
        Method::DeleteCanisterSnapshot => snapshots::delete(subnet, call),
        Method::DepositCycles => create::deposit_cycles(subnet, call),
        Method::FetchCanisterLogs => logs::fetch_by_canister(subnet, call),
        Method::InstallChunkedCode => chunks::install_chunked_code(subnet, call),
        Method::InstallCode => install::install_code(subnet, call),
        Method::ListCanisterSnapshots => snapshots::list(subnet, call.caller, &call.payload).map(Step::reply),
        Method::ListCanisters => create::list_canisters(subnet, call.caller),
        Method::LoadCanisterSnapshot => snapshots::load(subnet, call),
        Method::NodeMetricsHistory => status::node_metrics_history(subnet, call),
        Method::ProvisionalCreateCanister => create::provisional_create(subnet, call),
        Method::ProvisionalTopUpCanister => create::provisional_top_up(subnet, call),
        Method::RawRand => randomness::raw_rand(subnet, call),
        Method::ReadCanisterSnapshotData => snapshot_data::read_data(subnet, call),
        Method::ReadCanisterSnapshotMetadata => snapshot_data::read_metadata(subnet, call),
        Method::StartCanister => lifecycle::start_canister(subnet, call),
        Method::StopCanister => lifecycle::stop_canister(subnet, call),
        Method::StoredChunks => chunks::stored_chunks(subnet, call),
        Method::SubnetInfo => status::subnet_info(subnet, call),
        Method::TakeCanisterSnapshot => snapshots::take(subnet, call),
        Method::UninstallCode => lifecycle::uninstall_code(subnet, call),
        Method::UpdateSettings => settings::update_settings(subnet, call),
        Method::UploadCanisterSnapshotData => snapshot_data::upload_data(subnet, call),
        Method::UploadCanisterSnapshotMetadata => snapshot_data::upload_metadata(subnet, call),
        Method::UploadChunk => chunks::upload_chunk(subnet, call),
        Method::BitcoinGetBalance
        | Method::BitcoinGetBlockHeaders
        | Method::BitcoinGetFeePercentiles
        | Method::BitcoinGetUtxos
        | Method::BitcoinSendTransaction
        | Method::EcdsaPublicKey
        | Method::FlexibleHttpRequest
        | Method::HttpRequest
        | Method::SchnorrPublicKey
        | Method::SignWithEcdsa
        | Method::SignWithSchnorr
        | Method::VetkdDeriveKey
        | Method::VetkdPublicKey => Err(Refusal::NotAvailable(rule.name)),
    }
}

/// Answers a query to the management canister.
///
/// # Errors
/// `UnknownMethod` for methods that are not answered by queries, and their own refusals.
pub fn query(subnet: &SubnetState, caller: Principal, method: &str, payload: &[u8]) -> Result<Vec<u8>, UserError> {
    let answer = match methods::rule(method).map(|rule| rule.method) {
        Some(Method::FetchCanisterLogs) => logs::fetch(subnet, caller, payload),
        Some(Method::CanisterStatus) => status::canister_status(subnet, caller, payload),
        Some(Method::ListCanisterSnapshots) => snapshots::list(subnet, caller, payload),
        _ => Err(Refusal::UnknownMethod(method.to_string())),
    };
    answer.map_err(UserError::from)
}

/// Checks an ingress before it is accepted. Returns the canister that pays for the ingress, None when nobody does.
///
/// # Errors
/// Refusals that a user gets before anything is charged.
pub fn accept_ingress(
    subnet: &SubnetState,
    caller: Principal,
    method: &str,
    payload: &[u8],
) -> Result<Option<Principal>, UserError> {
    let rule = methods::rule(method).ok_or_else(|| Refusal::NotByIngress(method.to_string()))?;
    accept_rule(rule, method)?;
    let target = match methods::destination_of(rule, payload)? {
        Destination::SubnetOf(target) => target,
        Destination::Own | Destination::Subnet(_) => {
            let admitted = rule.ingress != Ingress::Admins || subnet.config.admins.contains(&caller);
            return if admitted { Ok(None) } else { Err(Refusal::OnlyAdmins(rule.name).into()) };
        }
    };
    let canister = canister(subnet, target)?;
    if rule.ingress == Ingress::Anyone {
        return Ok(None);
    }
    let by_admin =
        matches!(rule.method, Method::CanisterStatus | Method::UninstallCode) && subnet.config.admins.contains(&caller);
    if !canister.is_controller(&caller) && !by_admin && !seen_by(canister, rule.method, &caller) {
        return Err(Refusal::NotControllerByIngress { canister: target, method: method.to_string() }.into());
    }
    let charged_later =
        rule.method == Method::UpdateSettings && payload.len() <= settings::CHARGED_AFTERWARDS_BYTES_MAX;
    Ok((!charged_later).then_some(target))
}

/// Reads the target canister out of a payload, for routing. None: a call without target, or not decodable.
pub fn target(method: &str, payload: &[u8]) -> Option<Principal> {
    match methods::destination(method, payload) {
        Ok(Destination::SubnetOf(target)) => Some(target),
        _ => None,
    }
}

/// Tells where a canister's call to `aaaaa-aa` goes.
///
/// # Errors
/// The reject that the caller gets instead: an unknown method, or an argument without a readable target.
pub fn route(method: &str, payload: &[u8]) -> Result<Destination, (RejectCode, String)> {
    methods::destination(method, payload).map_err(|refusal| match refusal {
        Refusal::Payload(why) => {
            let text = format!("Unable to route management canister request {method}: CandidError({why})");
            (RejectCode::DestinationInvalid, text)
        }
        refusal => (refusal.code().reject_code(), format!("{}: {refusal}", refusal.code())),
    })
}

/// Charges a user's small `update_settings` to its target, whether or not it succeeded.
fn charge_afterwards(subnet: &mut SubnetState, call: &ManagementCall) {
    let small = call.payload.len() <= settings::CHARGED_AFTERWARDS_BYTES_MAX;
    if !small || !matches!(call.origin, CallOrigin::Ingress { .. }) || call.method != "update_settings" {
        return;
    }
    let fee = subnet.config.fees.ingress(ingress_bytes(&call.method, &call.payload));
    if let Some(canister) = target(&call.method, &call.payload).and_then(|id| subnet.canisters.get_mut(&id)) {
        canister.account.charge(fee);
    }
}

fn accept_rule(rule: &methods::Rule, method: &str) -> Result<(), Refusal> {
    match rule.ingress {
        Ingress::Never => Err(Refusal::NotByIngress(method.to_string())),
        Ingress::Query => Err(Refusal::OnlyByQuery(rule.name)),
        Ingress::Controllers | Ingress::Admins | Ingress::Anyone => Ok(()),
    }
}

fn seen_by(canister: &Canister, method: Method, caller: &Principal) -> bool {
    let settings = &canister.settings;
    match method {
        Method::CanisterStatus => settings::visible(&settings.status_visibility, settings, caller),
        Method::ListCanisterSnapshots | Method::ReadCanisterSnapshotData | Method::ReadCanisterSnapshotMetadata => {
            settings::visible(&settings.snapshot_visibility, settings, caller)
        }
        _ => false,
    }
}

fn canister(subnet: &SubnetState, id: Principal) -> Result<&Canister, Refusal> {
    subnet.canisters.get(&id).ok_or(Refusal::NoCanister(id))
}

fn canister_mut(subnet: &mut SubnetState, id: Principal) -> Result<&mut Canister, Refusal> {
    subnet.touch(id);
    subnet.canisters.get_mut(&id).ok_or(Refusal::NoCanister(id))
}

/// Finds a canister that `caller` controls.
fn controlled(subnet: &SubnetState, id: Principal, caller: Principal) -> Result<&Canister, Refusal> {
    let canister = canister(subnet, id)?;
    if canister.is_controller(&caller) { Ok(canister) } else { Err(not_controller(canister, caller)) }
}

/// The same where a canister may also do it to itself.
fn controlled_or_self(subnet: &SubnetState, id: Principal, caller: Principal) -> Result<&Canister, Refusal> {
    if id == caller { canister(subnet, id) } else { controlled(subnet, id, caller) }
}

fn not_controller(canister: &Canister, caller: Principal) -> Refusal {
    Refusal::NotController { canister: canister.id, controllers: canister.settings.controllers.clone(), caller }
}
