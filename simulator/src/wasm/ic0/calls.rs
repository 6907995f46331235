//! Calls to other canisters: built step by step, then performed.

use candid::Principal;

use super::message::SENT_BYTE;
use super::{Call, Failure, Row, cycles};
use crate::chance::Fault;
use crate::limits::{BEST_EFFORT_TIMEOUT_SECONDS_MAX, CALL_BYTES_MAX, QUEUE_SLOTS, REPLY_BYTES_MAX};
use crate::wasm::system::{Closure, Context, OutgoingCall, System};

const CALLING: &str = "U CQ Ry Rt CRy CRt T";
/// Results of `call_perform`.
const PERFORMED: u64 = 0;
const REFUSED: u64 = 2;

pub const ROWS: &[Row] = &[
    ("call_new", "PPPPPPPP", "", CALLING, 1_500, new),
    ("call_on_cleanup", "PP", "", CALLING, 500, |c| {
        let [function, env, ..] = c.arguments;
        let call = building(c)?;
        if call.cleanup.is_some() {
            return Err(Failure::contract(
                "ic0.call_on_cleanup: can be called at most once between `ic0.call_new` and `ic0.call_perform`",
            ));
        }
        call.cleanup = Some(Closure { function, env });
        Ok(0)
    }),
    ("call_data_append", "PP", "", CALLING, 500, append),
    ("call_with_best_effort_response", "i", "", CALLING, 500, |c| {
        let timeout = c.arguments[0] as u32;
        let call = building(c)?;
        if call.timeout_seconds.is_some() {
            return Err(Failure::contract(
                "ic0_call_with_best_effort_response failed because a timeout is already set",
            ));
        }
        call.timeout_seconds = Some(timeout.min(BEST_EFFORT_TIMEOUT_SECONDS_MAX));
        Ok(0)
    }),
    ("call_cycles_add128", "ll", "", "U Ry Rt T", 500, |c| {
        let amount = cycles::wide(c);
        attach(c, amount)
    }),
    ("call_cycles_add", "l", "", "U Ry Rt T 32", 500, |c| {
        let amount = c.arguments[0].into();
        attach(c, amount)
    }),
    ("call_perform", "", "i", CALLING, 5_000, perform),
];

fn new(call: &mut Call) -> Result<u64, Failure> {
    let [callee, callee_bytes, name, name_bytes, reply, reply_env, reject, reject_env] = call.arguments;
    call.charge_bytes(callee_bytes.saturating_add(name_bytes), 1)?;
    abandon(call.system());
    check_bytes(call.name, name_bytes)?;
    let callee = call.read_principal(callee, callee_bytes)?;
    let method = String::from_utf8(call.read(name, name_bytes)?)
        .map_err(|_| Failure::contract("ic0.call_new: the name of the method is not valid UTF-8"))?;
    call.system().building = Some(OutgoingCall {
        callee: callee.as_slice().to_vec(),
        method,
        argument: Vec::new(),
        cycles: 0,
        reply: Closure { function: reply, env: reply_env },
        reject: Closure { function: reject, env: reject_env },
        cleanup: None,
        timeout_seconds: None,
        prepaid_response: 0,
        prepaid_callback: 0,
        request_fee: 0,
    });
    Ok(0)
}

/// Drops an unfinished call; the cycles attached to it come back.
pub fn abandon(system: &mut System) {
    if let Some(call) = system.building.take() {
        system.account.balance += call.cycles;
    }
}

fn building<'a>(call: &'a mut Call) -> Result<&'a mut OutgoingCall, Failure> {
    let name = call.name;
    let none = || Failure::contract(format_args!("ic0.{name} called when no call is under construction"));
    call.system().building.as_mut().ok_or_else(none)
}

fn append(call: &mut Call) -> Result<u64, Failure> {
    let [address, bytes, ..] = call.arguments;
    call.charge_bytes(bytes, SENT_BYTE)?;
    let request = building(call)?;
    let total = (request.method.len() as u64 + request.argument.len() as u64).saturating_add(bytes);
    check_bytes(call.name, total)?;
    let data = call.read(address, bytes)?;
    building(call)?.argument.extend(data);
    Ok(0)
}

fn check_bytes(name: &str, bytes: u64) -> Result<(), Failure> {
    if bytes > CALL_BYTES_MAX {
        return Err(Failure::contract(format_args!(
            "ic0.{name}: the call has {bytes} bytes of method name and argument, at most {CALL_BYTES_MAX} are allowed"
        )));
    }
    Ok(())
}

fn attach(call: &mut Call, amount: u128) -> Result<u64, Failure> {
    building(call)?;
    let system = call.system();
    let liquid = cycles::liquid(system);
    if amount > liquid {
        let (name, missing) = (call.name, amount - liquid);
        return Err(Failure::contract(format_args!(
            "ic0.{name}: insufficient cycles, {amount} were to be attached, {missing} more than can be spent"
        )));
    }
    system.account.balance -= amount;
    building(call)?.cycles += amount;
    Ok(0)
}

fn perform(call: &mut Call) -> Result<u64, Failure> {
    building(call)?;
    let wasm64 = call.state().wasm64;
    let number = call.state().performs;
    call.state().performs += 1;
    let mut request = call.system().building.take().expect("it was there just now");
    let callee = Principal::from_slice(&request.callee);
    let callee = if callee == call.system().identity.subnet_id { Principal::management_canister() } else { callee };
    let sent = call.state().sent.get(&callee).copied().unwrap_or(0);
    let system = call.system();
    let bytes = (request.method.len() + request.argument.len()) as u64;
    let reserved_bytes = if request.timeout_seconds.is_none() { bytes.max(REPLY_BYTES_MAX) } else { 0 };
    let is_composite = matches!(
        system.context,
        Context::CompositeQuery | Context::CompositeReplyCallback | Context::CompositeRejectCallback
    );
    if !is_composite {
        request.request_fee = system.fees.request(bytes);
        request.prepaid_response = system.fees.response_prepayment();
        request.prepaid_callback = system.fees.execution(system.callback_instructions_max, wasm64);
    }
    let price = request.request_fee + request.prepaid_response + request.prepaid_callback;
    let outstanding = system.outstanding.get(&callee).copied().unwrap_or(0);
    let fails = system.faults.fail_call_perform == Some(number);
    if fails {
        system.faults.hit.push(Fault::CallPerformFails);
    }
    let accepted = !fails
        && (is_composite || reserved_bytes <= system.guaranteed_bytes_left)
        && system.callbacks_left > 0
        && price <= cycles::liquid(system)
        && outstanding + sent < QUEUE_SLOTS;
    if !accepted {
        system.account.balance += request.cycles;
        return Ok(REFUSED);
    }
    system.account.balance -= price;
    if !is_composite {
        system.guaranteed_bytes_left -= reserved_bytes;
        system.account.idle.message_bytes += reserved_bytes;
    }
    system.callbacks_left -= 1;
    system.calls.push(request);
    *call.state().sent.entry(callee).or_default() += 1;
    Ok(PERFORMED)
}
