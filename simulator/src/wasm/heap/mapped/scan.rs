//! Finding private copies with the `PAGEMAP_SCAN` call (Linux 6.7 and later): the kernel walks the page tables and
//! returns ranges, where reading the page map returns eight bytes for every page.

use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use super::{PAGE_BYTES, pagemap};

/// Ranges that one call returns; the rest needs another.
const RANGES: usize = 256;
/// Categories of pages (`Documentation/admin-guide/mm/pagemap.rst` of Linux). Where nothing is ever protected, every page
/// counts as written.
const WRITTEN: u64 = 1 << 1;
const IN_FILE: u64 = 1 << 2;
const PRESENT: u64 = 1 << 3;
const SWAPPED: u64 = 1 << 4;
/// Protects the pages that match (`PM_SCAN_WP_MATCHING`), and refuses where that can't be (`PM_SCAN_CHECK_WPASYNC`).
const PROTECT: u64 = 1 << 0 | 1 << 1;
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

/// Lists the pages of `live` that are private copies written since they were protected, and protects them if asked to;
/// None where the system lacks the call.
pub fn dirty(live: &[u8], protect: bool) -> Option<Vec<usize>> {
    static MISSING: OnceLock<()> = OnceLock::new();
    if MISSING.get().is_some() {
        return None;
    }
    let dirty = scan(live, if protect { PROTECT } else { 0 });
    if dirty.is_none() {
        // Refused once, refused always: whether pages are counted so or so must not change during a run.
        let _ = MISSING.set(());
    }
    dirty
}

/// Protects the pages of `live` that [`dirty`] lists; `false` where the system can't.
pub fn protect(live: &mut [u8]) -> bool {
    scan(live, PROTECT).is_some()
}

fn scan(live: &[u8], flags: u64) -> Option<Vec<usize>> {
    let base = live.as_ptr() as u64;
    let end = base + live.len() as u64;
    let mut ranges = [Range::default(); RANGES];
    let mut found = Vec::new();
    let mut start = base;
    while start < end {
        let mut scan = Scan {
            size: size_of::<Scan>() as u64,
            flags,
            start,
            end,
            ranges: ranges.as_mut_ptr() as u64,
            ranges_len: RANGES as u64,
            category_inverted: IN_FILE,
            category_mask: IN_FILE | WRITTEN,
            category_anyof_mask: PRESENT | SWAPPED,
            return_mask: PRESENT | SWAPPED,
            ..Scan::default()
        };
        // SAFETY: the argument is as the call expects it, and `ranges` has room for as many as it says.
        let count = unsafe { libc::ioctl(pagemap()?.as_raw_fd(), PAGEMAP_SCAN, &mut scan) };
        for range in &ranges[..usize::try_from(count).ok()?] {
            let page = |address: u64| (address - base) as usize / PAGE_BYTES;
            found.extend(page(range.start)..page(range.end));
        }
        start = scan.walk_end.max(start + 1);
    }
    Some(found)
}
