//! Modules may come packed with gzip. The hash of a module is that of the bytes as sent.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::GzDecoder;

use super::system::Trap;
use crate::errors::ErrorCode;
use crate::limits::MIB;

/// Bytes of a module once unpacked; a larger one is refused before it is read to its end.
pub const MODULE_BYTES_MAX: u64 = 100 * MIB;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b, 0x08];

/// Unpacks a module, or returns it as it is when it isn't packed.
///
/// # Errors
/// `CanisterInvalidWasm` for a broken archive or more than [`MODULE_BYTES_MAX`] bytes.
pub fn unpacked(module: &[u8]) -> Result<Cow<'_, [u8]>, Trap> {
    if !module.starts_with(GZIP_MAGIC) {
        return Ok(Cow::Borrowed(module));
    }
    let mut bytes = Vec::new();
    let read = GzDecoder::new(module).take(MODULE_BYTES_MAX + 1).read_to_end(&mut bytes);
    match read {
        Ok(_) if bytes.len() as u64 > MODULE_BYTES_MAX => {
            Err(invalid(format!("specified uncompressed size of Wasm module exceeds {MODULE_BYTES_MAX} bytes")))
        }
        Ok(_) => Ok(Cow::Owned(bytes)),
        Err(error) => Err(invalid(format!("failed to decompress Wasm module: {error}"))),
    }
}

fn invalid(why: String) -> Trap {
    Trap {
        code: ErrorCode::CanisterInvalidWasm,
        message: format!("Canister's Wasm module is not valid: {why}."),
        log: None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("writes to memory");
        encoder.finish().expect("writes to memory")
    }

    #[test]
    fn a_plain_module_is_returned_as_it_is() {
        assert!(matches!(unpacked(b"\0asm").expect("plain"), Cow::Borrowed(b"\0asm")));
    }

    #[test]
    fn a_packed_module_is_unpacked() {
        assert_eq!(&*unpacked(&packed(b"\0asm and more")).expect("packed"), b"\0asm and more");
    }

    #[test]
    fn half_an_archive_is_invalid() {
        let whole = packed(&(0..10_000u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
        assert_eq!(unpacked(&whole[..whole.len() / 2]).expect_err("broken").code, ErrorCode::CanisterInvalidWasm);
    }

    #[test]
    fn a_bomb_is_refused_before_it_fills_memory() {
        let bomb = packed(&vec![0; MODULE_BYTES_MAX as usize + 1]);
        assert_eq!(unpacked(&bomb).expect_err("too large").code, ErrorCode::CanisterInvalidWasm);
    }
}
