//! The code of the shards, carried inside the router's.
//!
//! `canopy-artifacts` builds the shard first and passes its Wasm in. Native tests of the router do without.

/// The shard's module as it is installed: compressed Wasm.
#[cfg(embedded_shard)]
pub const WASM: &[u8] = include_bytes!(env!("CANOPY_SHARD_WASM"));
/// Nothing: native code installs no shards.
#[cfg(not(embedded_shard))]
pub const WASM: &[u8] = &[];

#[cfg(all(target_family = "wasm", not(embedded_shard)))]
compile_error!("the router carries the shard's Wasm: build it with `cargo run --release -p canopy-artifacts`");

/// SHA-256 of [`WASM`], which the platform reports as the hash of an installed module.
#[cfg(embedded_shard)]
pub const SHA256: [u8; 32] = from_hex(env!("CANOPY_SHARD_SHA256"));
/// Nothing, see [`WASM`].
#[cfg(not(embedded_shard))]
pub const SHA256: [u8; 32] = [0; 32];

#[cfg(embedded_shard)]
const fn from_hex(text: &str) -> [u8; 32] {
    const fn digit(byte: u8) -> u8 {
        match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => panic!("CANOPY_SHARD_SHA256 is lower-case hexadecimal"),
        }
    }
    let text = text.as_bytes();
    assert!(text.len() == 64, "CANOPY_SHARD_SHA256 has 64 digits");
    let mut bytes = [0; 32];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = digit(text[2 * at]) * 16 + digit(text[2 * at + 1]);
        at += 1;
    }
    bytes
}
