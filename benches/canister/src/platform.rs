//! The canister's methods.

use crate::{Command, run};

mod ic0 {
    #[link(wasm_import_module = "ic0")]
    unsafe extern "C" {
        pub safe fn msg_arg_data_size() -> usize;
        pub fn msg_arg_data_copy(target: *mut u8, offset: usize, size: usize);
        pub fn msg_reply_data_append(source: *const u8, size: usize);
        pub safe fn msg_reply();
        pub fn msg_reject(source: *const u8, size: usize);
        pub safe fn msg_reject_msg_size() -> usize;
        pub fn msg_reject_msg_copy(target: *mut u8, offset: usize, size: usize);
        pub safe fn performance_counter(kind: u32) -> u64;
        pub fn call_new(
            callee: *const u8,
            callee_size: usize,
            name: *const u8,
            name_size: usize,
            reply: extern "C" fn(usize),
            reply_environment: usize,
            reject: extern "C" fn(usize),
            reject_environment: usize,
        );
        pub fn call_data_append(source: *const u8, size: usize);
        pub safe fn call_perform() -> u32;
    }
}

fn argument() -> Vec<u8> {
    let mut bytes = vec![0; ic0::msg_arg_data_size()];
    // SAFETY: the buffer is as long as the argument.
    unsafe { ic0::msg_arg_data_copy(bytes.as_mut_ptr(), 0, bytes.len()) };
    bytes
}

fn reply(bytes: &[u8]) {
    // SAFETY: the slice is valid for its length.
    unsafe { ic0::msg_reply_data_append(bytes.as_ptr(), bytes.len()) };
    ic0::msg_reply();
}

#[unsafe(export_name = "canister_update bench")]
extern "C" fn bench() {
    let used = run(&Command::read(&argument()), || ic0::performance_counter(0));
    reply(&used.write());
}

/// Passes a call on: length of the callee's id (one byte), the id, length of the method's name, the name, the argument.
#[unsafe(export_name = "canister_update forward")]
extern "C" fn forward() {
    let bytes = argument();
    let (callee, rest) = bytes[1..].split_at(usize::from(bytes[0]));
    let (name, argument) = rest[1..].split_at(usize::from(rest[0]));
    // SAFETY: the slices are valid for their lengths, and the platform copies them.
    unsafe {
        ic0::call_new(callee.as_ptr(), callee.len(), name.as_ptr(), name.len(), on_reply, 0, on_reject, 0);
        ic0::call_data_append(argument.as_ptr(), argument.len());
    }
    assert_eq!(ic0::call_perform(), 0, "nothing stands against the call");
}

extern "C" fn on_reply(_: usize) {
    reply(&argument());
}

extern "C" fn on_reject(_: usize) {
    let mut text = vec![0; ic0::msg_reject_msg_size()];
    // SAFETY: the buffer is as long as the text, and valid for its length.
    unsafe {
        ic0::msg_reject_msg_copy(text.as_mut_ptr(), 0, text.len());
        ic0::msg_reject(text.as_ptr(), text.len());
    }
}
