//! The log of a canister: prints and traps, the newest kept.

use std::collections::VecDeque;

use candid::Principal;

/// Bytes that a log keeps unless the setting `log_memory_limit` says otherwise.
pub const LOG_BYTES_DEFAULT: u64 = 4_096;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    pub index: u64,
    pub timestamp_nanos: u64,
    pub content: Vec<u8>,
}

impl LogRecord {
    /// Bytes that count towards the limit.
    fn bytes(&self) -> u64 {
        (std::mem::size_of::<u64>() * 2 + self.content.len()) as u64
    }
}

/// Who may read something (logs, snapshots, status).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Visibility {
    #[default]
    Controllers,
    Public,
    AllowedViewers(Vec<Principal>),
}

/// A bounded log. Indexes count on over lines that were dropped.
#[derive(Clone, Debug, Default)]
pub struct CanisterLog {
    pub records: VecDeque<LogRecord>,
    pub next_index: u64,
    bytes: u64,
}

impl CanisterLog {
    /// Appends a line and drops the oldest until at most `bytes_max` are kept; a line that is too long is cut.
    pub fn append(&mut self, timestamp_nanos: u64, mut content: Vec<u8>, bytes_max: u64) {
        let overhead = (std::mem::size_of::<u64>() * 2) as u64;
        content.truncate(bytes_max.saturating_sub(overhead) as usize);
        let record = LogRecord { index: self.next_index, timestamp_nanos, content };
        self.next_index += 1;
        self.bytes += record.bytes();
        self.records.push_back(record);
        while self.bytes > bytes_max {
            let Some(oldest) = self.records.pop_front() else { break };
            self.bytes -= oldest.bytes();
        }
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
