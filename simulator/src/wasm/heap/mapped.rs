//! Heaps as private mappings of an anonymous file (Linux).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

use super::runs;
use crate::limits::GIB;
use crate::wasm::fingerprint::PAGE_BYTES;

mod scan;

/// Bytes of address space of any heap; the largest heap that is allowed.
const HEAP_BYTES_MAX: usize = 6 * GIB as usize;
/// Runs of dirty pages up to which they are discarded one by one; beyond, the whole heap is.
const RUNS_MAX: usize = 64;
/// Entries of the page map that are read at once.
const ENTRIES: usize = 4096;
const ENTRY_BYTES: usize = 8;
/// Bits of an entry: the page is mapped; swapped out; of a file, so not a private copy
/// (`Documentation/admin-guide/mm/pagemap.rst` of Linux).
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const OF_FILE: u64 = 1 << 61;

/// Heaps that can be alive in one process: their mappings together fit the address space of 47 bits.
const HEAPS_MAX: usize = 16_384;

/// The file that holds the committed contents of all heaps of the process, a slot of [`HEAP_BYTES_MAX`] each: any
/// number of canisters takes one descriptor. Holes are zero and take no memory.
struct Arena {
    file: File,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    free: BTreeSet<usize>,
    /// Slots from here on were never used.
    next: usize,
}

impl Arena {
    fn shared() -> std::io::Result<&'static Arena> {
        static SHARED: OnceLock<Result<Arena, i32>> = OnceLock::new();
        let arena = SHARED.get_or_init(|| Arena::new().map_err(|error| error.raw_os_error().unwrap_or(libc::ENOSYS)));
        arena.as_ref().map_err(|code| std::io::Error::from_raw_os_error(*code))
    }

    fn new() -> std::io::Result<Self> {
        // SAFETY: the name is a C string; the descriptor is owned by nobody else.
        let file = unsafe {
            let descriptor = libc::memfd_create(c"heaps".as_ptr(), libc::MFD_CLOEXEC);
            if descriptor < 0 {
                return Err(std::io::Error::last_os_error());
            }
            File::from_raw_fd(descriptor)
        };
        file.set_len((HEAPS_MAX * HEAP_BYTES_MAX) as u64)?;
        Ok(Self { file, slots: Mutex::default() })
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes holes of a range; its pages go back to the system.
    fn punch(&self, offset: usize, bytes: usize) {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: changes a file that this process owns, in a range that no other heap uses.
        let result = unsafe { libc::fallocate(self.file.as_raw_fd(), mode, offset as i64, bytes as i64) };
        assert_eq!(result, 0, "INVARIANT: anonymous files can have holes");
    }
}

/// The committed contents of a heap: a slot of the arena, given back when dropped.
pub struct HeapFile {
    arena: &'static Arena,
    slot: usize,
}

impl HeapFile {
    fn new() -> std::io::Result<Self> {
        let arena = Arena::shared()?;
        let mut slots = arena.slots();
        let slot = match slots.free.pop_first() {
            Some(slot) => slot,
            None if slots.next == HEAPS_MAX => return Err(std::io::Error::from_raw_os_error(libc::ENOMEM)),
            None => {
                slots.next += 1;
                slots.next - 1
            }
        };
        drop(slots);
        Ok(Self { arena, slot })
    }

    fn offset(&self) -> usize {
        self.slot * HEAP_BYTES_MAX
    }

    pub fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= HEAP_BYTES_MAX, "INVARIANT: a heap stays in its slot");
        let offset = (self.offset() + offset) as u64;
        self.arena.file.write_all_at(bytes, offset).expect("memory for the committed heap");
    }

    pub fn page(&self, index: usize) -> Vec<u8> {
        let mut page = vec![0; PAGE_BYTES];
        let offset = (self.offset() + index * PAGE_BYTES) as u64;
        self.arena.file.read_exact_at(&mut page, offset).expect("the file is as long as all heaps together");
        page
    }

    /// Forgets what lies beyond `bytes`: the heap has shrunk.
    pub fn cut(&self, bytes: usize) {
        if bytes < HEAP_BYTES_MAX {
            self.arena.punch(self.offset() + bytes, HEAP_BYTES_MAX - bytes);
        }
    }
}

impl Drop for HeapFile {
    fn drop(&mut self) {
        self.cut(0);
        self.arena.slots().free.insert(self.slot);
    }
}

thread_local! {
    /// The file for the next heap that this thread instantiates; after it, the file that was used.
    static NEXT: RefCell<Option<Arc<HeapFile>>> = const { RefCell::new(None) };
}

/// Sets the file that the next heap instantiated on this thread maps; None: a new one.
pub fn set_next(file: Option<Arc<HeapFile>>) {
    NEXT.set(file);
}

/// Takes the file that was mapped by the instantiation just made; None if it has no memory.
pub fn take_used() -> Option<Arc<HeapFile>> {
    NEXT.take()
}

/// Makes heaps for wasmtime.
pub struct Creator;

// SAFETY: what is made keeps the promises of `LinearMemory` below.
unsafe impl MemoryCreator for Creator {
    fn new_memory(
        &self,
        _ty: MemoryType,
        minimum: usize,
        _maximum: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let file = match NEXT.take() {
            Some(file) => file,
            None => Arc::new(HeapFile::new().map_err(|error| format!("no file for the heap: {error}"))?),
        };
        let capacity = reserved.unwrap_or(0).max(HEAP_BYTES_MAX);
        let mut mapping = Mapping::new(file.clone(), capacity, guard)?;
        mapping.grow_to(minimum).map_err(|error| error.to_string())?;
        NEXT.set(Some(file));
        Ok(Box::new(mapping))
    }
}

struct Mapping {
    /// Keeps the slot from being given to another heap.
    _file: Arc<HeapFile>,
    base: *mut u8,
    size: usize,
    capacity: usize,
    total: usize,
}

// SAFETY: the mapping belongs to this value; access is governed by wasmtime.
unsafe impl Send for Mapping {}
// SAFETY: as above; `&self` only tells address and size.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(file: Arc<HeapFile>, capacity: usize, guard: usize) -> Result<Self, String> {
        let total = capacity + guard;
        let flags = libc::MAP_PRIVATE | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address that the system chooses; nothing is accessible in it yet.
        let base = unsafe {
            let (descriptor, offset) = (file.arena.file.as_raw_fd(), file.offset() as i64);
            let base = libc::mmap(std::ptr::null_mut(), total, libc::PROT_NONE, flags, descriptor, offset);
            if base == libc::MAP_FAILED {
                return Err(format!("no address space for the heap: {}", std::io::Error::last_os_error()));
            }
            // Huge pages would make many pages dirty at once. Systems without them refuse, which is as good.
            libc::madvise(base, total, libc::MADV_NOHUGEPAGE);
            base
        };
        Ok(Self { _file: file, base: base.cast(), size: 0, capacity, total })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` and is used by nobody any more.
        unsafe { libc::munmap(self.base.cast(), self.total) };
    }
}

// SAFETY: `[base, base + size)` is readable and writable, all up to `total` is mapped, and `base` never changes.
unsafe impl LinearMemory for Mapping {
    fn byte_size(&self) -> usize {
        self.size
    }

    fn byte_capacity(&self) -> usize {
        self.capacity
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        if new_size > self.capacity.min(HEAP_BYTES_MAX) {
            return Err(wasmtime::format_err!("heap of {new_size} bytes"));
        }
        if new_size > self.size {
            // SAFETY: the range is within the mapping of this value.
            let result = unsafe { libc::mprotect(self.base.cast(), new_size, libc::PROT_READ | libc::PROT_WRITE) };
            if result != 0 {
                return Err(std::io::Error::last_os_error().into());
            }
            self.size = new_size;
        }
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        self.base
    }
}

/// The page map of this process.
fn pagemap() -> Option<&'static File> {
    static PAGEMAP: OnceLock<Option<File>> = OnceLock::new();
    PAGEMAP.get_or_init(|| File::open("/proc/self/pagemap").ok()).as_ref()
}

/// Lists the pages of a heap that are private copies.
pub fn dirty(live: &[u8]) -> Vec<usize> {
    scan::dirty(live).unwrap_or_else(|| dirty_by_entries(live))
}

/// The same by reading the page map's entry of every page.
fn dirty_by_entries(live: &[u8]) -> Vec<usize> {
    let mut dirty = Vec::new();
    let (first, pages) = (live.as_ptr() as usize / PAGE_BYTES, live.len() / PAGE_BYTES);
    let mut buffer = [0u8; ENTRIES * ENTRY_BYTES];
    let mut done = 0;
    while done < pages {
        let entries = &mut buffer[..ENTRIES.min(pages - done) * ENTRY_BYTES];
        let offset = (first + done) * ENTRY_BYTES;
        let pagemap = pagemap().expect("the page map was readable at start");
        pagemap.read_exact_at(entries, offset as u64).expect("the page map covers the heap");
        for (index, entry) in entries.chunks_exact(ENTRY_BYTES).enumerate() {
            let entry = u64::from_le_bytes(entry.try_into().expect("a chunk of eight bytes"));
            if entry & (PRESENT | SWAPPED) != 0 && entry & OF_FILE == 0 {
                dirty.push(done + index);
            }
        }
        done += ENTRIES;
    }
    dirty
}

/// Drops the private copies of these pages; what the file holds appears again.
pub fn discard(live: &mut [u8], dirty: &[usize]) {
    let runs = runs(dirty);
    if runs.len() > RUNS_MAX {
        return discard_all(live);
    }
    for (first, last) in runs {
        discard_all(&mut live[first * PAGE_BYTES..(last + 1) * PAGE_BYTES]);
    }
}

/// Drops all private copies.
pub fn discard_all(live: &mut [u8]) {
    if live.is_empty() {
        return;
    }
    // SAFETY: the range is a whole number of pages of a private mapping, borrowed mutably; its contents become those
    // of the file, which is a valid state of bytes.
    let result = unsafe { libc::madvise(live.as_mut_ptr().cast(), live.len(), libc::MADV_DONTNEED) };
    assert_eq!(result, 0, "INVARIANT: the heap is a private mapping");
}

/// Tells whether pages of 4 KiB, anonymous files and the page map are there and behave.
pub fn works() -> bool {
    // SAFETY: asks for a number.
    if unsafe { libc::sysconf(libc::_SC_PAGESIZE) } != PAGE_BYTES as libc::c_long || pagemap().is_none() {
        return false;
    }
    probe().unwrap_or(false)
}

fn probe() -> Option<bool> {
    const PAGES: usize = 4;
    let file = Arc::new(HeapFile::new().ok()?);
    file.write(0, &[1; PAGE_BYTES]);
    let mut mapping = Mapping::new(file, HEAP_BYTES_MAX, 0).ok()?;
    mapping.grow_to(PAGES * PAGE_BYTES).ok()?;
    // SAFETY: these bytes were made accessible just now, and only this function knows of them.
    let live = unsafe { std::slice::from_raw_parts_mut(mapping.base, PAGES * PAGE_BYTES) };
    let mut entries = [0; PAGES * ENTRY_BYTES];
    let offset = live.as_ptr() as usize / PAGE_BYTES * ENTRY_BYTES;
    pagemap()?.read_exact_at(&mut entries, offset as u64).ok()?;
    let read = std::hint::black_box(live[0]) == 1 && std::hint::black_box(live[3 * PAGE_BYTES]) == 0;
    live[PAGE_BYTES] = 7;
    live[2 * PAGE_BYTES] = 0;
    std::hint::black_box(&mut *live);
    let found = dirty(live) == [1, 2] && dirty_by_entries(live) == [1, 2];
    discard(live, &[1, 2]);
    Some(read && found && live[PAGE_BYTES] == 0 && dirty(live).is_empty())
}

#[cfg(test)]
mod tests;
