//! Public keys of senders in DER form, and signatures by them (interface specification, "Signatures").

use std::fmt;

use ed25519_dalek::Verifier as _;
use k256::ecdsa::signature::Verifier as _;

/// What stands before the 32 bytes of an Ed25519 key.
const ED25519: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// What stands before the 65 bytes of an uncompressed point on secp256k1.
const SECP256K1: &[u8] = &[
    0x30, 0x56, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00,
    0x0a, 0x03, 0x42, 0x00,
];
/// What stands before the 65 bytes of an uncompressed point on P-256.
const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The object identifier of COSE keys, as browsers' authenticators have them.
const COSE: &[u8] = &[0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, 0x01];
/// The object identifier of canister signatures.
const CANISTER: &[u8] = &[0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, 0x02];

/// A public key whose signatures can be verified.
#[derive(Clone, Debug)]
pub enum PublicKey {
    Ed25519(ed25519_dalek::VerifyingKey),
    Secp256k1(k256::ecdsa::VerifyingKey),
    P256(p256::ecdsa::VerifyingKey),
}

/// Why a signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unverified {
    /// Keys of authenticators (COSE) and of canisters exist on the platform and are not simulated.
    KeyNotSimulated(&'static str),
    KeyMalformed,
    /// Bytes of a signature that should have 64.
    SignatureLength(usize),
    SignatureWrong,
}

impl fmt::Display for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyNotSimulated(kind) => write!(f, "The simulator does not verify signatures by {kind} keys."),
            Self::KeyMalformed => {
                write!(f, "The public key is not an Ed25519, secp256k1 or P-256 key in DER form.")
            }
            Self::SignatureLength(bytes) => write!(f, "A signature has 64 bytes, not {bytes}."),
            Self::SignatureWrong => write!(f, "The signature is not one of the message by the public key."),
        }
    }
}

impl PublicKey {
    /// Reads a key in DER form.
    ///
    /// # Errors
    /// `KeyNotSimulated` for kinds that the platform knows and the simulator doesn't, `KeyMalformed` for the rest.
    pub fn from_der(der: &[u8]) -> Result<Self, Unverified> {
        let malformed = |_| Unverified::KeyMalformed;
        if let Some(key) = der.strip_prefix(ED25519) {
            let bytes = key.try_into().map_err(|_| Unverified::KeyMalformed)?;
            ed25519_dalek::VerifyingKey::from_bytes(bytes).map(Self::Ed25519).map_err(|_| Unverified::KeyMalformed)
        } else if let Some(point) = der.strip_prefix(SECP256K1) {
            k256::ecdsa::VerifyingKey::from_sec1_bytes(point).map(Self::Secp256k1).map_err(malformed)
        } else if let Some(point) = der.strip_prefix(P256) {
            p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map(Self::P256).map_err(malformed)
        } else if contains(der, COSE) {
            Err(Unverified::KeyNotSimulated("COSE"))
        } else if contains(der, CANISTER) {
            Err(Unverified::KeyNotSimulated("canister"))
        } else {
            Err(Unverified::KeyMalformed)
        }
    }

    /// Verifies a signature of 64 bytes.
    ///
    /// # Errors
    /// `SignatureLength` or `SignatureWrong`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Unverified> {
        let bytes: &[u8; 64] = signature.try_into().map_err(|_| Unverified::SignatureLength(signature.len()))?;
        let verified = match self {
            Self::Ed25519(key) => key.verify(message, &ed25519_dalek::Signature::from_bytes(bytes)).is_ok(),
            Self::Secp256k1(key) => k256::ecdsa::Signature::from_slice(bytes).is_ok_and(|signature| {
                // Both forms of a signature are valid on the platform; the library takes the lower one only.
                let signature = signature.normalize_s().unwrap_or(signature);
                key.verify(message, &signature).is_ok()
            }),
            Self::P256(key) => {
                p256::ecdsa::Signature::from_slice(bytes).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
        };
        verified.then_some(()).ok_or(Unverified::SignatureWrong)
    }
}

fn contains(der: &[u8], part: &[u8]) -> bool {
    der.windows(part.len()).any(|window| window == part)
}
