//! Cycles: balances, accepting, burning, and what things cost.

use super::{Call, Failure, Row};
use crate::wasm::system::{Account, System};

const REFERENCE_HTTP_BASE: u128 = 3_000_000;
const HTTP_PER_NODE: u128 = 60_000;
const HTTP_REQUEST_BYTE: u128 = 400;
const HTTP_RESPONSE_BYTE: u128 = 800;
/// Price of a signature or a derived key.
const SIGNATURE: u128 = 10_000_000_000;
const REFERENCE_NODES: u128 = 13;
const KEY_NAMES: [&str; 3] = ["dfx_test_key", "key_1", "test_key_1"];
/// Results of the functions that price signatures.
const COST_OK: u64 = 0;
const COST_INVALID_CURVE: u64 = 1;
const COST_INVALID_KEY: u64 = 2;

pub const ROWS: &[Row] = &[
    ("msg_cycles_available128", "P", "", "U RQ Rt Ry", 500, |c| amount(c, 0, |s| s.account.available)),
    ("msg_cycles_available", "", "l", "U RQ Rt Ry 32", 500, |c| narrow(c.system().account.available)),
    ("msg_cycles_refunded128", "P", "", "Rt Ry", 500, |c| amount(c, 0, |s| s.account.refunded)),
    ("msg_cycles_refunded", "", "l", "Rt Ry 32", 500, |c| narrow(c.system().account.refunded)),
    ("msg_cycles_accept128", "llP", "", "U RQ Rt Ry", 500, |c| {
        let max = wide(c);
        let accepted = accept(c.system(), max);
        c.write_amount(c.arguments[2], accepted)?;
        Ok(0)
    }),
    ("msg_cycles_accept", "l", "l", "U RQ Rt Ry 32", 500, |c| {
        let max = c.arguments[0].into();
        narrow(accept(c.system(), max))
    }),
    ("cycles_burn128", "llP", "", "I G U RQ Ry Rt C T", 500, |c| {
        let max = wide(c);
        let system = c.system();
        let burned = max.min(liquid(system));
        system.account.balance -= burned;
        system.account.burned += burned;
        c.write_amount(c.arguments[2], burned)?;
        Ok(0)
    }),
    ("canister_cycle_balance128", "P", "", "*", 500, |c| amount(c, 0, |s| s.account.balance)),
    ("canister_cycle_balance", "", "l", "* 32", 500, |c| narrow(c.system().account.balance)),
    ("canister_liquid_cycle_balance128", "P", "", "*", 500, |c| amount(c, 0, liquid)),
    ("cost_call", "llP", "", "**", 500, |c| {
        let [name, payload, ..] = c.arguments;
        let wasm64 = c.state().wasm64;
        amount(c, 2, |s| s.fees.call(name.saturating_add(payload), s.callback_instructions_max, wasm64))
    }),
    ("cost_create_canister", "P", "", "**", 500, |c| amount(c, 0, |s| s.fees.create_canister())),
    ("cost_http_request", "llP", "", "**", 500, |c| {
        let [request, response, ..] = c.arguments;
        amount(c, 2, |s| http(s, request, response))
    }),
    ("cost_http_request_v2", "PPP", "", "**", 500, |c| {
        let [address, bytes, ..] = c.arguments;
        c.charge_bytes(bytes, 1)?;
        let parameters = c.read(address, bytes)?;
        let parameters = candid::decode_one::<HttpParameters>(&parameters)
            .map_err(|_| Failure::contract("ic0.cost_http_request_v2: the parameters can't be decoded"))?;
        amount(c, 2, |s| http(s, parameters.request_bytes, parameters.raw_response_bytes))
    }),
    ("cost_sign_with_ecdsa", "PPiP", "i", "**", 500, |c| signature(c, 0)),
    ("cost_sign_with_schnorr", "PPiP", "i", "**", 500, |c| signature(c, 1)),
    ("cost_vetkd_derive_key", "PPiP", "i", "**", 500, |c| signature(c, 0)),
];

/// Parameters of `cost_http_request_v2` that are priced here.
#[derive(candid::CandidType, serde::Deserialize)]
struct HttpParameters {
    request_bytes: u64,
    raw_response_bytes: u64,
}

/// Returns what may be spent: the balance above the freezing threshold.
pub fn liquid(system: &System) -> u128 {
    system.account.balance.saturating_sub(threshold(system, &system.account))
}

/// Returns the balance that has to stay.
pub fn threshold(system: &System, account: &Account) -> u128 {
    system.fees.freezing_threshold(&account.idle, account.freezing_threshold_seconds, account.reserved)
}

/// Joins the first two arguments to an amount.
pub fn wide(call: &Call) -> u128 {
    u128::from(call.arguments[0]) << 64 | u128::from(call.arguments[1])
}

fn narrow(amount: u128) -> Result<u64, Failure> {
    amount.try_into().map_err(|_| Failure::trapped("64 bit cycles api used on a value too large"))
}

/// Writes an amount to the address in argument number `index`.
fn amount(call: &mut Call, index: usize, amount: impl FnOnce(&System) -> u128) -> Result<u64, Failure> {
    let amount = amount(call.system());
    call.write_amount(call.arguments[index], amount)?;
    Ok(0)
}

fn accept(system: &mut System, max: u128) -> u128 {
    let account = &mut system.account;
    let accepted = max.min(account.available);
    account.balance = account.balance.checked_add(accepted).expect("INVARIANT: all cycles together fit 128 bits");
    account.available -= accepted;
    account.accepted += accepted;
    accepted
}

fn http(system: &System, request_bytes: u64, response_bytes: u64) -> u128 {
    if system.fees.free {
        return 0;
    }
    let nodes = u128::from(system.node_count);
    (REFERENCE_HTTP_BASE
        + HTTP_PER_NODE * nodes
        + HTTP_REQUEST_BYTE * u128::from(request_bytes)
        + HTTP_RESPONSE_BYTE * u128::from(response_bytes))
        * nodes
}

/// Prices a signature: arguments are address and size of the key's name, the curve or algorithm, where to write.
fn signature(call: &mut Call, curve_max: u64) -> Result<u64, Failure> {
    let [address, bytes, curve, ..] = call.arguments;
    call.charge_bytes(bytes, 1)?;
    let name = call.read(address, bytes)?;
    if curve > curve_max {
        return Ok(COST_INVALID_CURVE);
    }
    if !KEY_NAMES.iter().any(|known| known.as_bytes() == name) {
        return Ok(COST_INVALID_KEY);
    }
    amount(call, 3, |s| if s.fees.free { 0 } else { SIGNATURE * u128::from(s.node_count) / REFERENCE_NODES })?;
    Ok(COST_OK)
}
