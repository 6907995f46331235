//! Hashes of pages, combined by a sum, so that a changed page is replaced without reading the others.

/// Bytes of a page that is hashed on its own.
pub const PAGE_BYTES: usize = 4096;
/// Words taken together; independent chains keep the multiplier busy.
const LANES: usize = 4;
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Returns the part of page `index` in the sum. A page of zeros has none, so absent and zeroed pages are equal.
pub fn page(index: u64, bytes: &[u8]) -> u64 {
    debug_assert_eq!(bytes.len(), PAGE_BYTES);
    if bytes.iter().all(|byte| *byte == 0) {
        return 0;
    }
    let mut lanes = [1, 2, 3, 4];
    for block in bytes.chunks_exact(8 * LANES) {
        for (lane, word) in lanes.iter_mut().zip(block.chunks_exact(8)) {
            let word = u64::from_le_bytes(word.try_into().expect("a chunk of eight bytes"));
            *lane = step(*lane, word);
        }
    }
    lanes.into_iter().fold(finish(index), |sum, lane| step(sum, finish(lane)))
}

/// Combines values in order.
pub fn combine(values: impl IntoIterator<Item = u64>) -> u64 {
    finish(values.into_iter().fold(MULTIPLIER, |sum, value| step(sum, finish(value))))
}

fn step(state: u64, word: u64) -> u64 {
    (state ^ word).wrapping_mul(MULTIPLIER).rotate_left(29)
}

/// Spreads every bit over the word (two rounds of xor-shift and multiplication).
fn finish(word: u64) -> u64 {
    let word = (word ^ (word >> 32)).wrapping_mul(MULTIPLIER);
    let word = (word ^ (word >> 29)).wrapping_mul(MULTIPLIER);
    word ^ (word >> 32)
}
