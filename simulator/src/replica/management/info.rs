//! The history of a canister, and what anyone may know of it.

use ic_management_canister_types::{
    CanisterInfoArgs, CanisterInfoResult, CanisterMetadataArgs, CanisterMetadataResult, Change, ChangeDetails,
    ChangeOrigin, FromCanisterRecord, FromUserRecord,
};

use super::errors::Refusal;
use super::{Step, payload};
use crate::replica::state::{CallOrigin, Canister, ManagementCall, SubnetState};

/// Changes that are kept; the total counts on.
const CHANGES_KEPT: usize = 20;

/// Tells who made a change; `version` is what a canister says of itself in `sender_canister_version`.
pub fn origin(call: &ManagementCall, version: Option<u64>) -> ChangeOrigin {
    match &call.origin {
        CallOrigin::Canister { caller, .. } => {
            ChangeOrigin::FromCanister(FromCanisterRecord { canister_id: *caller, canister_version: version })
        }
        CallOrigin::Ingress { sender, .. } => ChangeOrigin::FromUser(FromUserRecord { user_id: *sender }),
        CallOrigin::System => ChangeOrigin::FromUser(FromUserRecord { user_id: call.caller }),
    }
}

/// Adds a change at the canister's present version.
pub fn record(canister: &mut Canister, now_nanos: u64, origin: ChangeOrigin, details: ChangeDetails) {
    canister.history.push_back(Change {
        timestamp_nanos: now_nanos,
        canister_version: canister.version,
        origin,
        details: Some(details),
    });
    canister.history_total += 1;
    while canister.history.len() > CHANGES_KEPT {
        canister.history.pop_front();
    }
}

/// Tells controllers, module hash and as many of the newest changes as asked for, oldest first.
pub(super) fn canister_info(subnet: &SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: CanisterInfoArgs = payload::decode(&call.payload)?;
    let canister = super::canister(subnet, args.canister_id)?;
    let wanted = args.num_requested_changes.unwrap_or(0).min(CHANGES_KEPT as u64) as usize;
    let skipped = canister.history.len().saturating_sub(wanted);
    Ok(Step::reply(payload::encode(&CanisterInfoResult {
        total_num_changes: canister.history_total,
        recent_changes: canister.history.iter().skip(skipped).cloned().collect(),
        module_hash: canister.code.as_ref().map(|code| code.module_hash.to_vec()),
        controllers: canister.settings.controllers.iter().copied().collect(),
    })))
}

/// Returns a metadata section: a public one to anyone, a private one to controllers.
pub(super) fn canister_metadata(subnet: &SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: CanisterMetadataArgs = payload::decode(&call.payload)?;
    let canister = super::canister(subnet, args.canister_id)?;
    let code = canister.code.as_ref().ok_or(Refusal::NoModule(canister.id))?;
    let section = code
        .module
        .custom_sections()
        .get(&args.name)
        .filter(|section| section.public || canister.is_controller(&call.caller))
        .ok_or(Refusal::NoSection(args.name))?;
    Ok(Step::reply(payload::encode(&CanisterMetadataResult { value: section.content.clone() })))
}
