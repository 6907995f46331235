//! Keys and values of numbered records.

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// One step of splitmix64 (Steele, Lea and Flood, 2014).
pub fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Makes the key of a record. Numbers that follow each other lie apart in the order of keys, as YCSB has it.
pub fn key(number: u64) -> [u8; KEY_BYTES] {
    let mut key = *b"........user....................";
    key[..8].copy_from_slice(&mix(number).to_be_bytes());
    let mut rest = number;
    for digit in key[12..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// Makes the value of a record.
pub fn value(number: u64, bytes: u64) -> Vec<u8> {
    vec![number as u8 | 1; bytes as usize]
}
