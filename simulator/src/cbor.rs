//! Writing CBOR (RFC 8949): the few kinds of items of which certificates and answers to agents consist.

/// CBOR tag 55799, "this is CBOR".
pub const SELF_DESCRIBED: [u8; 3] = [0xd9, 0xd9, 0xf7];

const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const NULL: u8 = 0xf6;

/// A growing document, item after item.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// Begins a document with the tag that says what it is.
    pub fn self_described() -> Self {
        Self { out: SELF_DESCRIBED.to_vec() }
    }

    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    pub fn unsigned(&mut self, value: u64) {
        self.head(UNSIGNED, value);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.head(BYTES, bytes.len() as u64);
        self.out.extend(bytes);
    }

    pub fn text(&mut self, text: &str) {
        self.head(TEXT, text.len() as u64);
        self.out.extend(text.as_bytes());
    }

    pub fn null(&mut self) {
        self.out.push(NULL);
    }

    /// Begins an array; `length` items must follow.
    pub fn array(&mut self, length: usize) {
        self.head(ARRAY, length as u64);
    }

    /// Begins a map; `length` pairs of items must follow.
    pub fn map(&mut self, length: usize) {
        self.head(MAP, length as u64);
    }

    /// Writes the head of an item: its type in three bits, then its number in as few bytes as it takes.
    fn head(&mut self, major: u8, number: u64) {
        let major = major << 5;
        match number {
            0..24 => self.out.push(major | number as u8),
            24..0x100 => self.out.extend([major | 24, number as u8]),
            0x100..0x1_0000 => {
                self.out.push(major | 25);
                self.out.extend((number as u16).to_be_bytes());
            }
            0x1_0000..0x1_0000_0000 => {
                self.out.push(major | 26);
                self.out.extend((number as u32).to_be_bytes());
            }
            _ => {
                self.out.push(major | 27);
                self.out.extend(number.to_be_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Writer)) -> String {
        let mut writer = Writer::default();
        write(&mut writer);
        hex::encode(writer.finish())
    }

    #[test]
    fn numbers_take_as_few_bytes_as_they_can() {
        for (number, expected) in [
            (0, "00"),
            (23, "17"),
            (24, "1818"),
            (255, "18ff"),
            (256, "190100"),
            (65_536, "1a00010000"),
            (1 << 32, "1b0000000100000000"),
            (u64::MAX, "1bffffffffffffffff"),
        ] {
            assert_eq!(written(|writer| writer.unsigned(number)), expected);
        }
    }

    #[test]
    fn items_are_told_apart_by_their_heads() {
        assert_eq!(written(|writer| writer.bytes(&[1, 2])), "420102");
        assert_eq!(written(|writer| writer.text("ab")), "626162");
        assert_eq!(written(|writer| writer.array(2)), "82");
        assert_eq!(written(|writer| writer.map(1)), "a1");
        assert_eq!(written(Writer::null), "f6");
    }
}
