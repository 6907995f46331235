//! Marks in the canisters' code where a phase of a message ends, so that a benchmark can say what each phase takes.
//!
//! Without the feature `marks`, which only benchmarks build with, all of it is nothing. With it a canister adds up the
//! instructions of each phase and tells them in a query of its own, `marks`.

/// A part of what is done for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Copying the argument, asking who called.
    Receive,
    /// Finding out whether the caller may, and counting what it asks for.
    Rights,
    /// Reading the argument, or an answer.
    Decode,
    /// Hashing keys and finding whose they are.
    Route,
    /// Naming writes, so that their receipts are found.
    Name,
    /// Looking for the record and changing it.
    Store,
    /// Writing what is sent, and handing it over: 50 instructions for each byte.
    Encode,
    /// Taking up what waited for an answer.
    Resume,
}

impl Phase {
    /// All phases, in the order in which a canister tells them.
    pub const ALL: [Phase; 8] = [
        Phase::Receive,
        Phase::Rights,
        Phase::Decode,
        Phase::Route,
        Phase::Name,
        Phase::Store,
        Phase::Encode,
        Phase::Resume,
    ];
}

/// Marks the beginning of a message that is measured.
#[inline(always)]
pub fn begin() {
    #[cfg(all(feature = "marks", target_family = "wasm"))]
    counting::begin();
}

/// Marks the end of a phase, which began at the mark before.
#[inline(always)]
pub fn end(phase: Phase) {
    #[cfg(all(feature = "marks", target_family = "wasm"))]
    counting::end(phase);
    #[cfg(not(all(feature = "marks", target_family = "wasm")))]
    let _ = phase;
}

#[cfg(all(feature = "marks", target_family = "wasm"))]
mod counting {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::Phase;

    mod ic0 {
        #[link(wasm_import_module = "ic0")]
        unsafe extern "C" {
            pub safe fn performance_counter(kind: u32) -> u64;
            pub fn msg_reply_data_append(source: *const u8, size: usize);
            pub safe fn msg_reply();
        }
    }

    /// What reading the counter counts itself.
    const READING_INSTRUCTIONS: u64 = 200;

    static SUMS: [AtomicU64; Phase::ALL.len()] = [const { AtomicU64::new(0) }; Phase::ALL.len()];
    /// The counter after the last mark; no message is measured while it is the greatest number.
    static LAST: AtomicU64 = AtomicU64::new(u64::MAX);

    pub fn begin() {
        LAST.store(0, Relaxed);
    }

    pub fn end(phase: Phase) {
        let (now, last) = (ic0::performance_counter(0), LAST.load(Relaxed));
        // A message without a beginning has a counter of its own.
        let used = now.saturating_sub(last).saturating_sub(READING_INSTRUCTIONS);
        let sum = &SUMS[phase as usize];
        sum.store(sum.load(Relaxed) + used, Relaxed);
        LAST.store(ic0::performance_counter(0), Relaxed);
    }

    /// Tells the sums so far, 8 bytes each, in the order of [`Phase::ALL`].
    #[unsafe(export_name = "canister_query marks")]
    extern "C" fn marks() {
        let bytes: Vec<u8> = SUMS.iter().flat_map(|sum| sum.load(Relaxed).to_le_bytes()).collect();
        // SAFETY: the slice is valid for its length.
        unsafe { ic0::msg_reply_data_append(bytes.as_ptr(), bytes.len()) };
        ic0::msg_reply();
    }
}
