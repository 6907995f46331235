//! Memory of the machine, so that a network that takes too much of it ends alone, with a text that says why.
//!
//! Canisters may keep hundreds of GiB each by the platform's rules. That they can't have here is no answer that the
//! platform gives, so the instance breaks (HTTP 500 from then on) instead of answering one that a test could believe.

/// Bytes that must be left on the machine.
const LEFT_BYTES_MIN: u64 = 256 << 20;
/// Bytes that canisters write between two looks.
const WRITTEN_BYTES: u64 = 64 << 20;

/// Counts what is written and looks now and then.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    written_bytes: u64,
}

impl Watch {
    /// Counts bytes that were kept.
    ///
    /// # Panics
    /// If the machine has too little memory left to go on.
    pub fn wrote(&mut self, bytes: u64) {
        self.written_bytes += bytes;
        if self.written_bytes < WRITTEN_BYTES {
            return;
        }
        self.written_bytes = 0;
        let left = left_bytes();
        assert!(
            left >= LEFT_BYTES_MIN,
            "canisters have filled this machine: {left} bytes of memory are left, at least {LEFT_BYTES_MIN} are needed"
        );
    }
}

/// Returns what this machine or the process's group has left; all there could be where that can't be known.
fn left_bytes() -> u64 {
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let in_group = number("/sys/fs/cgroup/memory.max")
        .and_then(|max| Some(max.saturating_sub(number("/sys/fs/cgroup/memory.current")?)));
    let in_machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text));
    in_group.unwrap_or(u64::MAX).min(in_machine.unwrap_or(u64::MAX))
}

/// Reads the bytes available out of `/proc/meminfo`.
fn available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read() {
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:    1024 kB\nBuffers: 1 kB\n"), Some(1 << 20));
        assert_eq!(available("MemTotal: 9 kB\n"), None);
        assert!(left_bytes() > 0);
    }
}
