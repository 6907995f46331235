//! Finding private copies with the `PAGEMAP_SCAN` call (Linux 6.7 and later): the kernel walks the page tables and
//! returns ranges, where reading the page map returns eight bytes for every page.

use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use super::{PAGE_BYTES, pagemap};

/// Ranges that one call returns; the rest needs another.
const RANGES: usize = 256;
/// Categories of pages (`Documentation/admin-guide/mm/pagemap.rst` of Linux).
const IN_FILE: u64 = 1 << 2;
const PRESENT: u64 = 1 << 3;
const SWAPPED: u64 = 1 << 4;
/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::c_ulong =
    3 << 30 | (size_of::<Scan>() as libc::c_ulong) << 16 | (b'f' as libc::c_ulong) << 8 | 16;

/// Argument of the call, `struct pm_scan_arg`.
#[repr(C)]
#[derive(Default)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    ranges: u64,
    ranges_len: u64,
    pages_max: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Range {
    start: u64,
    end: u64,
    categories: u64,
}

/// Lists the pages of `live` that are private copies; None where the system lacks the call.
pub fn dirty(live: &[u8]) -> Option<Vec<usize>> {
    static MISSING: OnceLock<()> = OnceLock::new();
    if MISSING.get().is_some() {
        return None;
    }
    let base = live.as_ptr() as u64;
    let end = base + live.len() as u64;
    let mut ranges = [Range::default(); RANGES];
    let mut dirty = Vec::new();
    let mut start = base;
    while start < end {
        let mut scan = Scan {
            size: size_of::<Scan>() as u64,
            start,
            end,
            ranges: ranges.as_mut_ptr() as u64,
            ranges_len: RANGES as u64,
            category_inverted: IN_FILE,
            category_mask: IN_FILE,
            category_anyof_mask: PRESENT | SWAPPED,
            return_mask: PRESENT | SWAPPED,
            ..Scan::default()
        };
        // SAFETY: the argument is as the call expects it, and `ranges` has room for as many as it says.
        let found = unsafe { libc::ioctl(pagemap()?.as_raw_fd(), PAGEMAP_SCAN, &mut scan) };
        let Ok(found) = usize::try_from(found) else {
            // Refused once, refused always: whether pages are counted so or so must not change during a run.
            let _ = MISSING.set(());
            return None;
        };
        for range in &ranges[..found] {
            let page = |address: u64| (address - base) as usize / PAGE_BYTES;
            dirty.extend(page(range.start)..page(range.end));
        }
        start = scan.walk_end.max(start + 1);
    }
    Some(dirty)
}
