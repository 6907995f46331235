//! The message that runs: argument, caller, reject, deadline, and how it is answered.

use super::{Call, Failure, Row};
use crate::wasm::system::Answer;

const ANSWERING: &str = "U RQ NRQ CQ Ry Rt CRy CRt";
/// Instructions per byte of data sent to another canister or user.
pub const SENT_BYTE: u64 = 50;

pub const ROWS: &[Row] = &[
    ("msg_arg_data_size", "", "P", "I U RQ NRQ CQ Ry CRy F", 500, |c| Ok(c.system().argument.len() as u64)),
    ("msg_arg_data_copy", "PPP", "", "I U RQ NRQ CQ Ry CRy F", 500, |c| c.copy_out(0, |s| &s.argument)),
    ("msg_caller_size", "", "P", "*", 500, |c| Ok(c.system().caller.as_slice().len() as u64)),
    ("msg_caller_copy", "PPP", "", "*", 500, |c| c.copy_out(0, |s| s.caller.as_slice())),
    ("msg_caller_info_data_size", "", "P", CALLER_INFO, 500, |_| Ok(0)),
    ("msg_caller_info_data_copy", "PPP", "", CALLER_INFO, 500, |c| c.copy_out(0, |_| &[])),
    ("msg_caller_info_signer_size", "", "P", CALLER_INFO, 500, |_| Ok(0)),
    ("msg_caller_info_signer_copy", "PPP", "", CALLER_INFO, 500, |c| c.copy_out(0, |_| &[])),
    ("msg_reject_code", "", "i", "Ry Rt CRy CRt", 500, |c| {
        Ok(c.system().reject.as_ref().map_or(0, |(code, _)| (*code).into()))
    }),
    ("msg_reject_msg_size", "", "P", "Rt CRt", 500, |c| {
        Ok(c.system().reject.as_ref().map_or(0, |(_, message)| message.len() as u64))
    }),
    ("msg_reject_msg_copy", "PPP", "", "Rt CRt", 500, |c| {
        c.copy_out(0, |s| s.reject.as_ref().map_or(&[], |(_, message)| message.as_bytes()))
    }),
    ("msg_deadline", "", "l", ANSWERING, 500, |c| Ok(c.system().deadline_nanos)),
    ("msg_reply_data_append", "PP", "", ANSWERING, 500, append),
    ("msg_reply", "", "", ANSWERING, 500, reply),
    ("msg_reject", "PP", "", ANSWERING, 500, reject),
    ("msg_method_name_size", "", "P", "F", 500, |c| {
        Ok(c.system().method_name.as_ref().map_or(0, |name| name.len() as u64))
    }),
    ("msg_method_name_copy", "PPP", "", "F", 500, |c| {
        c.copy_out(0, |s| s.method_name.as_ref().map_or(&[], |name| name.as_bytes()))
    }),
    ("accept_message", "", "", "F", 500, |c| {
        if std::mem::replace(&mut c.system().accepted_message, true) {
            return Err(Failure::contract("ic0.accept_message: the function was already called"));
        }
        Ok(0)
    }),
];

const CALLER_INFO: &str = "U RQ NRQ CQ Ry Rt CRy CRt C CC F";

fn append(call: &mut Call) -> Result<u64, Failure> {
    let [address, bytes, ..] = call.arguments;
    call.charge_bytes(bytes, SENT_BYTE)?;
    check_unanswered(call)?;
    let before = call.system().answer_bytes.len() as u64;
    check_size(call, before.saturating_add(bytes))?;
    let data = call.read(address, bytes)?;
    call.system().answer_bytes.extend(data);
    Ok(0)
}

fn reply(call: &mut Call) -> Result<u64, Failure> {
    check_unanswered(call)?;
    let bytes = std::mem::take(&mut call.system().answer_bytes);
    call.system().answer = Some(Answer::Reply(bytes));
    Ok(0)
}

fn reject(call: &mut Call) -> Result<u64, Failure> {
    let [address, bytes, ..] = call.arguments;
    call.charge_bytes(bytes, SENT_BYTE)?;
    check_unanswered(call)?;
    check_size(call, bytes)?;
    let message = String::from_utf8(call.read(address, bytes)?)
        .map_err(|_| Failure::contract("ic0.msg_reject: the message is not valid UTF-8"))?;
    call.system().answer_bytes.clear();
    call.system().answer = Some(Answer::Reject(message));
    Ok(0)
}

fn check_unanswered(call: &mut Call) -> Result<(), Failure> {
    let name = call.name;
    let system = call.system();
    if system.already_answered || system.answer.is_some() {
        return Err(Failure::contract(format_args!("ic0.{name}: the call is already replied")));
    }
    Ok(())
}

fn check_size(call: &mut Call, bytes: u64) -> Result<(), Failure> {
    let (name, max) = (call.name, call.system().reply_bytes_max);
    if bytes > max {
        return Err(Failure::contract(format_args!(
            "ic0.{name}: application payload size ({bytes}) cannot be larger than {max}"
        )));
    }
    Ok(())
}
