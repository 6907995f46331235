//! Stable memory.

/// Sparse stable memory of at most 500 GiB.
#[derive(Clone, Debug, Default)]
pub struct StableMemory {}

impl StableMemory {
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the size in Wasm pages of 64 KiB.
    pub fn size_pages(&self) -> u64 {
        todo!()
    }

    /// Grows by `pages` of 64 KiB and returns the size before; None if it would exceed 500 GiB.
    pub fn grow(&mut self, pages: u64) -> Option<u64> {
        let _ = pages;
        todo!()
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// `OutOfBounds` if the range ends beyond the size.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), OutOfBounds> {
        let _ = (offset, buffer);
        todo!()
    }

    /// Writes `bytes` at `offset`.
    ///
    /// # Errors
    /// `OutOfBounds` if the range ends beyond the size.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), OutOfBounds> {
        let _ = (offset, bytes);
        todo!()
    }

    /// Replaces everything; the size becomes that of `bytes`, rounded up to whole Wasm pages.
    pub fn replace_all(&mut self, bytes: &[u8]) {
        let _ = bytes;
        todo!()
    }

    /// Returns the contents up to the size, or None if that is more than `bytes_max`.
    pub fn to_bytes(&self, bytes_max: u64) -> Option<Vec<u8>> {
        let _ = bytes_max;
        todo!()
    }
}

/// An access beyond the end of stable memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfBounds;
