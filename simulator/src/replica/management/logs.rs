//! Canister logs: to users by query, to canisters for a fee.

use candid::Principal;
use ic_management_canister_types::{
    CanisterLogFilter, CanisterLogRecord, FetchCanisterLogsArgs, FetchCanisterLogsResult,
};

use super::errors::Refusal;
use super::settings::visible;
use super::{Step, payload};
use crate::cycles::Fees;
use crate::limits::REPLY_BYTES_MAX;
use crate::replica::state::{ManagementCall, SubnetState};

/// Cycles of a call by a canister, and of each byte of its answer, on [`REFERENCE_NODES`] nodes.
const FETCH_BASE_CYCLES: u128 = 1_000_000;
const FETCH_BYTE_CYCLES: u128 = 800;
const REFERENCE_NODES: u128 = 13;

/// Returns the records that the filter lets through, oldest first.
pub(super) fn fetch(subnet: &SubnetState, caller: Principal, argument: &[u8]) -> Result<Vec<u8>, Refusal> {
    let args: FetchCanisterLogsArgs = payload::decode(argument)?;
    let canister = super::canister(subnet, args.canister_id)?;
    if !visible(&canister.settings.log_visibility, &canister.settings, &caller) {
        return Err(Refusal::LogsNotAllowed(caller));
    }
    let wanted = |record: &CanisterLogRecord| match &args.filter {
        None => true,
        Some(CanisterLogFilter::ByIdx { start, end }) => (*start..*end).contains(&record.idx),
        Some(CanisterLogFilter::ByTimestampNanos { start, end }) => (*start..*end).contains(&record.timestamp_nanos),
    };
    let canister_log_records = canister
        .log
        .records
        .iter()
        .map(|record| CanisterLogRecord {
            idx: record.index,
            timestamp_nanos: record.timestamp_nanos,
            content: record.content.clone(),
        })
        .filter(wanted)
        .collect();
    Ok(payload::encode(&FetchCanisterLogsResult { canister_log_records }))
}

/// The same for canisters, which attach the price of the largest answer and pay that of theirs.
pub(super) fn fetch_by_canister(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let required = fee(&subnet.config.fees, REPLY_BYTES_MAX);
    if call.cycles < required {
        return Err(Refusal::FeeNotAttached { method: "fetch_canister_logs", required, sent: call.cycles });
    }
    let reply = fetch(subnet, call.caller, &call.payload)?;
    let fee = fee(&subnet.config.fees, reply.len() as u64);
    subnet.ledger.burned += fee;
    Ok(Step::reply(reply).accepting(fee))
}

fn fee(fees: &Fees, reply_bytes: u64) -> u128 {
    let reference = FETCH_BASE_CYCLES + FETCH_BYTE_CYCLES * reply_bytes as u128;
    if fees.free { 0 } else { reference * fees.nodes as u128 / REFERENCE_NODES }
}
