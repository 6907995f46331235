//! The message that is being answered: its argument, its caller, its reply. What the hot methods need of the platform.

use std::mem::MaybeUninit;

/// Longest principal, in bytes.
const PRINCIPAL_BYTES_MAX: usize = 29;

/// Reads the argument, into memory that is not zeroed first.
pub fn argument() -> Vec<u8> {
    let length = ic0::msg_arg_data_size();
    let mut bytes = Vec::with_capacity(length);
    ic0::msg_arg_data_copy_uninit(&mut bytes.spare_capacity_mut()[..length], 0);
    // SAFETY: the platform has written the `length` bytes that were reserved.
    unsafe { bytes.set_len(length) };
    bytes
}

/// Who called: the bytes of a principal.
pub struct Caller {
    bytes: [u8; PRINCIPAL_BYTES_MAX],
    length: usize,
}

impl Caller {
    /// Asks the platform who called.
    pub fn of_message() -> Self {
        let length = ic0::msg_caller_size();
        let mut bytes = [MaybeUninit::new(0); PRINCIPAL_BYTES_MAX];
        ic0::msg_caller_copy_uninit(&mut bytes[..length], 0);
        // SAFETY: every byte was initialised above.
        Self { bytes: bytes.map(|byte| unsafe { byte.assume_init() }), length }
    }

    /// Shows the bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The end of a reply, of which so many bytes were appended before.
pub struct Rest {
    pub appended_bytes: usize,
    pub bytes: Vec<u8>,
}

impl From<Vec<u8>> for Rest {
    fn from(bytes: Vec<u8>) -> Self {
        Self { appended_bytes: 0, bytes }
    }
}

/// Appends a piece to the reply.
pub fn append(piece: &[u8]) {
    ic0::msg_reply_data_append(piece);
}

/// Replies.
pub fn reply(rest: &Rest) {
    append(&rest.bytes);
    ic0::msg_reply();
}
