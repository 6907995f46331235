//! The values of Candid: numbers, lengths and byte strings, read where they lie.

use crate::limits::MESSAGE_BYTES_MAX;

/// Bytes of a long reply that are handed to the platform together, at most: two pages of the heap, which are dirtied once for
/// all pieces. With a call of the system for each piece that comes to little beside the 50 instructions of every byte.
pub(super) const PIECE_BYTES: usize = 8 * 1024;

/// Whether two byte strings are equal, compared by words: a plain `==` costs several times as much in Wasm.
pub fn equal_bytes(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let (left_words, right_words) = (left.chunks_exact(8), right.chunks_exact(8));
    if left_words.remainder().iter().zip(right_words.remainder()).any(|(a, b)| a != b) {
        return false;
    }
    left_words.zip(right_words).all(|(a, b)| word(a) == word(b))
}

fn word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("chunks of eight bytes"))
}

/// Reads values one after the other; `None` at the first that is cut off or out of the ordinary.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first value.
    pub fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// Takes so many bytes.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    /// Takes one byte.
    pub fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    /// Takes an unsigned number in LEB128 of up to four bytes, which is enough for the length of any message.
    pub fn length(&mut self) -> Option<usize> {
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(length);
            }
        }
        None
    }

    /// Takes a `blob`.
    pub fn blob(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    /// Takes a `nat32`.
    pub fn nat32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().expect("four bytes were taken")))
    }

    /// Takes a `nat64`.
    pub fn nat64(&mut self) -> Option<u64> {
        Some(word(self.take(8)?))
    }

    /// Takes a `bool`.
    pub fn boolean(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// Takes an `opt`, whose value `read` takes.
    pub fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.boolean()? {
            false => Some(None),
            true => read(self).map(Some),
        }
    }

    /// Ends the message: `None` if anything is left.
    pub fn end(&self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }
}

/// Whether the readers take a message at all; [`codec`](crate::codec) has bounds of its own on longer ones.
pub(super) fn is_ordinary_length(message: &[u8]) -> bool {
    message.len() <= MESSAGE_BYTES_MAX
}

/// Appends an unsigned number in LEB128.
pub(super) fn write_length(target: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        target.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    target.push(length as u8);
}

/// Appends a `blob`.
pub(super) fn write_blob(target: &mut Vec<u8>, blob: &[u8]) {
    write_length(target, blob.len());
    target.extend_from_slice(blob);
}

/// Appends an `opt nat64`.
pub(super) fn write_optional_nat64(target: &mut Vec<u8>, number: Option<u64>) {
    match number {
        None => target.push(0),
        Some(number) => {
            target.push(1);
            target.extend_from_slice(&number.to_le_bytes());
        }
    }
}
