//! What a canister learns of itself and its subnet; time, timers, certification, counters, prints and traps.

use super::{Call, Failure, Row};
use crate::errors::ErrorCode;
use crate::wasm::system::{Context, Trap};

const CERTIFIED_BYTES_MAX: u64 = 32;
const VARIABLE_NAME_BYTES_MAX: u64 = 128;
/// Capacity of a canister's log; bytes beyond are neither kept nor charged.
const LOG_BYTES_MAX: u64 = 4096;
/// Instructions per byte that a log record allocates (twice), and sends.
const LOG_BYTE_ALLOCATED: u64 = 2;
const LOG_BYTE_SENT: u64 = 50;

pub const ROWS: &[Row] = &[
    ("canister_self_size", "", "P", "*", 500, |c| Ok(c.system().identity.canister_id.as_slice().len() as u64)),
    ("canister_self_copy", "PPP", "", "*", 500, |c| c.copy_out(0, |s| s.identity.canister_id.as_slice())),
    ("subnet_self_size", "", "P", "*", 500, |c| Ok(c.system().identity.subnet_id.as_slice().len() as u64)),
    ("subnet_self_copy", "PPP", "", "*", 500, |c| c.copy_out(0, |s| s.identity.subnet_id.as_slice())),
    ("subnet_self_node_count", "", "i", "*", 500, |c| Ok(c.system().node_count.into())),
    ("canister_status", "", "i", "*", 500, |c| Ok(c.system().status.into())),
    ("canister_version", "", "l", "*", 500, |c| Ok(c.system().canister_version)),
    ("root_key_size", "", "P", ROOT_KEY, 500, |c| Ok(c.system().identity.root_key.len() as u64)),
    ("root_key_copy", "PPP", "", ROOT_KEY, 500, |c| c.copy_out(0, |s| &s.identity.root_key)),
    ("certified_data_set", "PP", "", "I G U Ry Rt T", 500, certify),
    ("data_certificate_present", "", "i", "*", 500, |c| Ok(c.system().data_certificate.is_some().into())),
    ("data_certificate_size", "", "P", "NRQ CQ", 500, |c| match &c.system().data_certificate {
        Some(certificate) => Ok(certificate.len() as u64),
        None => Err(Failure::contract("ic0.data_certificate_size: there is no certificate")),
    }),
    ("data_certificate_copy", "PPP", "", "NRQ CQ", 500, |c| {
        c.copy_out(0, |s| s.data_certificate.as_deref().unwrap_or_default())
    }),
    ("time", "", "l", "*", 500, |c| Ok(c.system().time_nanos)),
    ("global_timer_set", "l", "l", "I G U Ry Rt C T", 500, |c| {
        let time = c.arguments[0];
        let system = c.system();
        system.global_timer_nanos = Some(time);
        Ok(std::mem::replace(&mut system.previous_timer_nanos, time))
    }),
    ("performance_counter", "i", "l", "**", 200, |c| match c.arguments[0] {
        0 => Ok(c.instructions()),
        1 => Ok(c.system().context_instructions + c.instructions()),
        kind => Err(Failure::contract(format_args!("ic0.performance_counter: there is no counter of type {kind}"))),
    }),
    ("is_controller", "PP", "i", "**", 1_000, |c| {
        let [address, bytes, ..] = c.arguments;
        c.charge_bytes(bytes, 1)?;
        let principal = c.read_principal(address, bytes)?;
        Ok(c.system().identity.controllers.contains(&principal).into())
    }),
    ("in_replicated_execution", "", "i", "**", 500, |c| Ok(is_replicated(c.system().context).into())),
    ("env_var_count", "", "P", "*", 500, |c| Ok(c.system().identity.environment.len() as u64)),
    ("env_var_name_size", "P", "P", "*", 500, |c| Ok(variable(c)?.0.len() as u64)),
    ("env_var_name_copy", "PPPP", "", "*", 500, |c| {
        let name = variable(c)?.0;
        c.copy_value(1, name.as_bytes())
    }),
    ("env_var_name_exists", "PP", "i", "*", 500, |c| {
        let name = variable_name(c)?;
        Ok(c.system().identity.environment.contains_key(&name).into())
    }),
    ("env_var_value_size", "PP", "P", "*", 500, |c| Ok(variable_value(c)?.len() as u64)),
    ("env_var_value_copy", "PPPPP", "", "*", 500, |c| {
        let value = variable_value(c)?;
        c.copy_value(2, value.as_bytes())
    }),
    ("debug_print", "PP", "", "**", 100, |c| {
        let [address, bytes, ..] = c.arguments;
        charge_log(c, bytes)?;
        let line = c.read(address, bytes)?;
        c.system().printed.push(line);
        Ok(0)
    }),
    ("trap", "PP", "", "**", 500, trap),
];

const ROOT_KEY: &str = "I G U RQ Ry Rt C T";

fn is_replicated(context: Context) -> bool {
    !matches!(
        context,
        Context::Query
            | Context::CompositeQuery
            | Context::CompositeReplyCallback
            | Context::CompositeRejectCallback
            | Context::CompositeCleanup
            | Context::Inspect
    )
}

fn certify(call: &mut Call) -> Result<u64, Failure> {
    let [address, bytes, ..] = call.arguments;
    if bytes > CERTIFIED_BYTES_MAX {
        return Err(Failure::contract(format_args!(
            "ic0.certified_data_set: data of {bytes} bytes, at most {CERTIFIED_BYTES_MAX} can be certified"
        )));
    }
    call.charge_bytes(bytes, 1)?;
    call.system().certified_data = Some(call.read(address, bytes)?);
    Ok(0)
}

fn trap(call: &mut Call) -> Result<u64, Failure> {
    let [address, bytes, ..] = call.arguments;
    call.charge_bytes(bytes, 1)?;
    charge_log(call, bytes)?;
    let message = call.read(address, bytes)?;
    let text = String::from_utf8_lossy(&message);
    Err(Failure::Trap(Trap {
        code: ErrorCode::CanisterCalledTrap,
        message: format!("Canister called `ic0.trap` with message: '{text}'"),
        log: Some(message),
    }))
}

/// Charges a line of the log, as far as the log has room for it.
fn charge_log(call: &mut Call, bytes: u64) -> Result<(), Failure> {
    let allocated = bytes.min(LOG_BYTES_MAX);
    let state = call.state();
    let sent = bytes.min(LOG_BYTES_MAX - state.logged_bytes.min(LOG_BYTES_MAX));
    state.logged_bytes += sent;
    call.charge(allocated * LOG_BYTE_ALLOCATED + sent * LOG_BYTE_SENT)
}

/// Returns name and value of the variable whose number is the first argument.
fn variable(call: &mut Call) -> Result<(String, String), Failure> {
    let (name, index) = (call.name, call.arguments[0]);
    let environment = &call.system().identity.environment;
    let found = usize::try_from(index).ok().and_then(|index| environment.iter().nth(index));
    found
        .map(|(name, value)| (name.clone(), value.clone()))
        .ok_or_else(|| Failure::contract(format_args!("ic0.{name}: there is no environment variable number {index}")))
}

fn variable_name(call: &mut Call) -> Result<String, Failure> {
    let [address, bytes, ..] = call.arguments;
    let name = call.name;
    if bytes > VARIABLE_NAME_BYTES_MAX {
        return Err(Failure::contract(format_args!(
            "ic0.{name}: a name of {bytes} bytes, names have at most {VARIABLE_NAME_BYTES_MAX}"
        )));
    }
    call.charge_bytes(bytes, 1)?;
    String::from_utf8(call.read(address, bytes)?)
        .map_err(|_| Failure::contract(format_args!("ic0.{name}: the name is not valid UTF-8")))
}

fn variable_value(call: &mut Call) -> Result<String, Failure> {
    let name = variable_name(call)?;
    call.system().identity.environment.get(&name).cloned().ok_or_else(|| {
        Failure::new(ErrorCode::CanisterContractViolation, format!("Environment variable {name} not found"))
    })
}
