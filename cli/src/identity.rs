//! Who calls: keys from PEM files, as `icp identity export` and openssl write them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ic_agent::Identity;
use ic_agent::identity::{AnonymousIdentity, BasicIdentity, PemError, Prime256v1Identity, Secp256k1Identity};

use crate::failure::Failure;

#[cfg(test)]
mod tests;

/// A file of keys is small; a large one was named by mistake.
const PEM_BYTES_MAX: u64 = 64 * 1024;

/// The kinds of keys, by the object identifiers that stand in their files.
const ED25519: &[u8] = b"\x06\x03\x2b\x65\x70";
const SECP256K1: &[u8] = b"\x06\x05\x2b\x81\x04\x00\x0a";
const P256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";

/// What a file of an Ed25519 key has before the 32 secret bytes (PKCS#8).
const ED25519_HEAD: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// Reads the identity of a file; the anonymous one when there is none.
///
/// # Errors
/// When the file can't be read, or holds no key of a kind that the platform knows; with what it holds.
pub fn load(path: Option<&Path>) -> Result<Arc<dyn Identity>, Failure> {
    let Some(path) = path else { return Ok(Arc::new(AnonymousIdentity)) };
    let unreadable = |error: std::io::Error| Failure::local(format!("can't read {}: {error}", path.display()));
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > PEM_BYTES_MAX {
        let message = format!("{} has {bytes} bytes, and a PEM file has at most {PEM_BYTES_MAX}", path.display());
        return Err(Failure::local(message));
    }
    let text = fs::read(path).map_err(unreadable)?;
    parse(&text).map_err(|why| Failure::local(format!("{} is no identity: {why}", path.display())))
}

/// Reads a key. The kind is taken from the file, because readers of one kind of curve accept secrets of another.
fn parse(text: &[u8]) -> Result<Arc<dyn Identity>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is no text".to_string())?;
    let blocks = blocks(text)?;
    if blocks.is_empty() {
        return Err("it holds no `-----BEGIN ... PRIVATE KEY-----`".to_string());
    }
    if blocks.iter().any(|block| block.label.contains("ENCRYPTED") || block.is_encrypted) {
        return Err("its key is encrypted; export it without a password (`icp identity export NAME`)".to_string());
    }
    if !blocks.iter().any(|block| block.label.ends_with("PRIVATE KEY")) {
        return Err(format!("it holds a {}, and no private key", blocks[0].label));
    }
    let holds = |kind: &[u8]| blocks.iter().any(|block| block.der.windows(kind.len()).any(|window| window == kind));
    let damaged = |error: PemError| format!("its key is damaged ({error})");
    // The curves first: an Ed25519 key's secret bytes may hold anything, but its file never names a curve by chance,
    // because it begins with Ed25519's own name.
    if blocks.iter().any(|block| starts_as_ed25519(&block.der)) {
        Ok(Arc::new(BasicIdentity::from_pem(text).map_err(damaged)?))
    } else if holds(SECP256K1) {
        Ok(Arc::new(Secp256k1Identity::from_pem(text).map_err(damaged)?))
    } else if holds(P256) {
        Ok(Arc::new(Prime256v1Identity::from_pem(text).map_err(damaged)?))
    } else {
        Err("its key is of another kind than Ed25519, secp256k1 and P-256".to_string())
    }
}

/// Tells whether the algorithm that PKCS#8 names, within the first bytes, is Ed25519.
fn starts_as_ed25519(der: &[u8]) -> bool {
    let head = &der[..der.len().min(16)];
    head.windows(ED25519.len()).any(|window| window == ED25519)
}

/// A block of a PEM file.
struct Block {
    label: String,
    der: Vec<u8>,
    is_encrypted: bool,
}

fn blocks(text: &str) -> Result<Vec<Block>, String> {
    let mut blocks = vec![];
    let mut open: Option<(String, String, bool)> = None;
    for line in text.lines().map(str::trim) {
        if let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")) {
            open = Some((label.to_string(), String::new(), false));
        } else if line.starts_with("-----END ") {
            let (label, base64, is_encrypted) = open.take().ok_or("a block ends that never began")?;
            let der = if is_encrypted { vec![] } else { STANDARD.decode(base64).map_err(|error| error.to_string())? };
            blocks.push(Block { label, der, is_encrypted });
        } else if let Some((_, base64, is_encrypted)) = &mut open {
            if line.contains(':') {
                // A header of the old format of openssl.
                *is_encrypted |= line.contains("ENCRYPTED");
            } else {
                base64.push_str(line);
            }
        }
    }
    match open {
        Some((label, ..)) => Err(format!("its {label} has no end")),
        None => Ok(blocks),
    }
}

/// Writes an Ed25519 key as a PEM file (PKCS#8).
pub fn ed25519_pem(secret: &[u8; 32]) -> String {
    let der = [ED25519_HEAD, secret].concat();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
}
