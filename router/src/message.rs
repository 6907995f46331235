//! The message that is being answered, or the answer that has come.

/// Reads the argument, into memory that is not zeroed first: that would take an instruction for each byte once more.
pub fn argument() -> Vec<u8> {
    let length = ic0::msg_arg_data_size();
    let mut bytes = Vec::with_capacity(length);
    ic0::msg_arg_data_copy_uninit(&mut bytes.spare_capacity_mut()[..length], 0);
    // SAFETY: the platform has written the `length` bytes that were reserved.
    unsafe { bytes.set_len(length) };
    bytes
}
