//! Displaced receipts: lists of pages, one per minute of issue, so that what ends together lies together.
//!
//! A receipt is in a record's header until the record is written again, and from then on here, found through an index
//! entry. When a minute is over by 15 minutes, its list is swept: for each receipt the index entry goes, then the pages
//! are given back. The newest receipts are staged in the header page, which every write dirties anyway, and are copied
//! to their place in bulk; their place is fixed from the start, so the index needs no change.

use std::mem::MaybeUninit;

use ic_stable_structures::Memory;

use super::api::{Operation, Outcome, Receipt};
use super::layout::{
    MINUTE_LISTS, MINUTE_MILLISECONDS, NANOSECONDS_PER_MILLISECOND, OVERDUE_LIST, PAGE_BYTES, RECEIPT_BYTES,
    RECEIPT_LIST_BYTES, RECEIPT_LISTS, RECEIPT_LISTS_OFFSET, RECEIPT_MILLISECONDS, RECEIPT_PAGE_HEADER_BYTES,
    RECEIPTS_PER_PAGE, STAGED_HEADER_BYTES, STAGED_MAX, STAGED_OFFSET, milliseconds_up, put_at, put_u48_at, u16_at,
    u32_at, u48_at, u64_at, u128_at, word_of,
};
use super::pages::{PageKind, Pages};

/// A displaced receipt with what is needed to find its index entry and the entry that counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredReceipt {
    pub hash: u64,
    pub key_tag: u64,
    pub receipt: Receipt,
}

impl StoredReceipt {
    /// The tag of its index entry.
    pub fn tag(&self) -> u64 {
        self.receipt.operation.identity as u64
    }

    fn encode(&self) -> [u8; RECEIPT_BYTES] {
        let Receipt { operation, outcome } = self.receipt;
        let (code, version) = match outcome {
            Outcome::Written { version } => (1, version),
            Outcome::Deleted { version } => (2, version),
            Outcome::Absent => (3, 0),
            Outcome::Refused { current: None } => (4, 0),
            Outcome::Refused { current: Some(version) } => (5, version),
        };
        let mut bytes = [0; RECEIPT_BYTES];
        put_at(&mut bytes, 0, self.hash.to_le_bytes());
        put_at(&mut bytes, 8, self.key_tag.to_le_bytes());
        put_at(&mut bytes, 16, operation.identity.to_le_bytes());
        put_u48_at(&mut bytes, 32, milliseconds_up(operation.issued));
        bytes[38] = code;
        put_at(&mut bytes, 40, version.to_le_bytes());
        put_at(&mut bytes, 48, operation.arguments.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> StoredReceipt {
        let version = u64_at(bytes, 40);
        let outcome = match bytes[38] {
            1 => Outcome::Written { version },
            2 => Outcome::Deleted { version },
            3 => Outcome::Absent,
            4 => Outcome::Refused { current: None },
            5 => Outcome::Refused { current: Some(version) },
            code => panic!("receipt outcome {code} was never written"),
        };
        let operation = Operation {
            identity: u128_at(bytes, 16),
            // Fits: issues from the future are refused. A checked product would be made of 128 bits.
            issued: u48_at(bytes, 32).wrapping_mul(NANOSECONDS_PER_MILLISECOND),
            arguments: u64_at(bytes, 48),
        };
        StoredReceipt { hash: u64_at(bytes, 0), key_tag: u64_at(bytes, 8), receipt: Receipt { operation, outcome } }
    }
}

/// Whether a receipt of an operation issued then is still kept; the same comparison admits operations.
pub fn is_live(issued: u64, now: u64) -> bool {
    issued + RECEIPT_MILLISECONDS > now
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct List {
    minute: u32,
    /// 0: no pages.
    head: u32,
    tail: u32,
    /// Receipts in the tail page.
    in_tail: u16,
    /// Receipts of the head page already swept.
    taken: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Staged {
    /// The page that they belong to; 0: none.
    page: u32,
    /// The first one's place in the page.
    first: u16,
    count: u16,
}

/// The lists of displaced receipts.
pub struct ReceiptLists {
    lists: [List; RECEIPT_LISTS],
    staged: Staged,
    pub pages: u32,
    /// What the header doesn't tell yet: a list, and whether `staged` changed.
    changed_list: Option<usize>,
    changed_staged: bool,
}

fn address(page: u32, index: u16) -> u64 {
    u64::from(page) * PAGE_BYTES + RECEIPT_PAGE_HEADER_BYTES + u64::from(index) * RECEIPT_BYTES as u64
}

fn staged_address(index: u16) -> u64 {
    STAGED_OFFSET + STAGED_HEADER_BYTES + u64::from(index) * RECEIPT_BYTES as u64
}

impl ReceiptLists {
    /// Starts with empty lists.
    pub fn create() -> Self {
        ReceiptLists {
            lists: [List::default(); RECEIPT_LISTS],
            staged: Staged::default(),
            pages: 0,
            changed_list: None,
            changed_staged: false,
        }
    }

    /// Reads the lists' ends from the header.
    pub fn open<M: Memory>(store: &Pages<M>, pages: u32) -> Self {
        let mut bytes = [0; RECEIPT_LISTS * RECEIPT_LIST_BYTES as usize];
        store.memory.read(RECEIPT_LISTS_OFFSET, &mut bytes);
        let mut lists = [List::default(); RECEIPT_LISTS];
        for (list, bytes) in lists.iter_mut().zip(bytes.chunks_exact(RECEIPT_LIST_BYTES as usize)) {
            *list = List {
                minute: u32_at(bytes, 0),
                head: u32_at(bytes, 4),
                tail: u32_at(bytes, 8),
                in_tail: u16_at(bytes, 12),
                taken: u16_at(bytes, 14),
            };
        }
        let mut bytes = [0; 8];
        store.memory.read(STAGED_OFFSET, &mut bytes);
        let staged = Staged { page: u32_at(&bytes, 0), first: u16_at(&bytes, 4), count: u16_at(&bytes, 6) };
        ReceiptLists { lists, staged, pages, changed_list: None, changed_staged: false }
    }

    fn set_list<M: Memory>(&mut self, pages: &mut Pages<M>, at: usize, list: List) {
        if self.changed_list != Some(at) {
            self.store_list(pages);
            self.changed_list = Some(at);
        }
        self.lists[at] = list;
    }

    fn set_staged(&mut self, staged: Staged) {
        self.staged = staged;
        self.changed_staged = true;
    }

    fn store_list<M: Memory>(&mut self, pages: &mut Pages<M>) {
        let Some(at) = self.changed_list.take() else { return };
        let list = self.lists[at];
        let counts = u32::from(list.in_tail) | u32::from(list.taken) << 16;
        let words: [u64; RECEIPT_LIST_BYTES as usize / 8] =
            [word_of(list.minute, list.head), word_of(list.tail, counts)];
        pages.memory.write_words(RECEIPT_LISTS_OFFSET + at as u64 * RECEIPT_LIST_BYTES, &words);
    }

    /// Writes what changed to the header; a part of the store's commit.
    pub fn commit<M: Memory>(&mut self, pages: &mut Pages<M>) {
        self.store_list(pages);
        if std::mem::take(&mut self.changed_staged) {
            let Staged { page, first, count } = self.staged;
            pages.memory.write_words(STAGED_OFFSET, &[word_of(page, u32::from(first) | u32::from(count) << 16)]);
        }
    }

    /// Copies the staged receipts to their page.
    fn flush<M: Memory>(&mut self, pages: &mut Pages<M>) {
        let Staged { page, first, count } = self.staged;
        if count > 0 {
            let mut buffer = [MaybeUninit::uninit(); STAGED_MAX as usize * RECEIPT_BYTES];
            let bytes = pages.memory.read_into(staged_address(0), usize::from(count) * RECEIPT_BYTES, &mut buffer);
            pages.memory.write(address(page, first), bytes);
        }
        self.set_staged(Staged::default());
    }

    /// Links a list's tail page to the page that follows it.
    fn link<M: Memory>(pages: &mut Pages<M>, list: List, next: u32) {
        let mut bytes = [0; 6];
        put_at(&mut bytes, 0, next.to_le_bytes());
        put_at(&mut bytes, 4, list.in_tail.to_le_bytes());
        pages.memory.write(u64::from(list.tail) * PAGE_BYTES, &bytes);
    }

    /// Adds a receipt and answers its place: page and index. A page must be available.
    pub fn append<M: Memory>(&mut self, pages: &mut Pages<M>, stored: &StoredReceipt) -> (u32, u8) {
        let minute = (milliseconds_up(stored.receipt.operation.issued) / MINUTE_MILLISECONDS) as u32;
        let at = minute as usize % MINUTE_LISTS;
        if self.lists[at].head != 0 && self.lists[at].minute != minute {
            self.make_overdue(pages, at);
        }
        let mut list = self.lists[at];
        if list.head == 0 || list.in_tail == RECEIPTS_PER_PAGE {
            let page = pages.take(1, PageKind::Receipts, 0).expect("every write makes sure of OPERATION_PAGES first");
            self.pages += 1;
            if list.head == 0 {
                list = List { minute, head: page, tail: page, in_tail: 0, taken: 0 };
            } else {
                Self::link(pages, list, page);
                list.tail = page;
                list.in_tail = 0;
            }
        }
        let index = list.in_tail;
        list.in_tail += 1;
        self.set_list(pages, at, list);
        if self.staged.page != list.tail || self.staged.count == STAGED_MAX {
            self.flush(pages);
            self.staged = Staged { page: list.tail, first: index, count: 0 };
        }
        let Staged { page, first, count } = self.staged;
        pages.memory.write(staged_address(count), &stored.encode());
        self.set_staged(Staged { page, first, count: count + 1 });
        (list.tail, index as u8)
    }

    /// Appends a minute's list, all of whose receipts have ended, to the overdue list, to make room for another minute.
    fn make_overdue<M: Memory>(&mut self, pages: &mut Pages<M>, at: usize) {
        let list = self.lists[at];
        let overdue = self.lists[OVERDUE_LIST];
        if overdue.head == 0 {
            self.set_list(pages, OVERDUE_LIST, list);
        } else {
            // Receipts of its head page that were swept are looked at again and found gone.
            Self::link(pages, overdue, list.head);
            self.set_list(pages, OVERDUE_LIST, List { tail: list.tail, in_tail: list.in_tail, ..overdue });
        }
        self.set_list(pages, at, List::default());
    }

    /// Reads the receipt at a place.
    pub fn read<M: Memory>(&self, pages: &Pages<M>, page: u32, index: u8) -> StoredReceipt {
        let index = u16::from(index);
        let mut bytes = [0; RECEIPT_BYTES];
        let Staged { page: staged, first, .. } = self.staged;
        let place = if page == staged && index >= first { staged_address(index - first) } else { address(page, index) };
        pages.memory.read(place, &mut bytes);
        StoredReceipt::decode(&bytes)
    }

    /// The list to be swept next at a time in milliseconds, if any is due.
    pub fn due(&self, now: u64) -> Option<usize> {
        if self.lists[OVERDUE_LIST].head != 0 {
            return Some(OVERDUE_LIST);
        }
        (0..MINUTE_LISTS).find(|&at| {
            let last_issued = (u64::from(self.lists[at].minute) + 1) * MINUTE_MILLISECONDS - 1;
            self.lists[at].head != 0 && !is_live(last_issued, now)
        })
    }

    /// Reads the receipts of a list's first page that are still to be swept: the page, the first one's index, and they.
    pub fn first_page<M: Memory>(&mut self, pages: &mut Pages<M>, at: usize) -> (u32, u16, Vec<StoredReceipt>) {
        let list = self.lists[at];
        if self.staged.page == list.head {
            self.flush(pages);
        }
        let mut bytes = vec![0; PAGE_BYTES as usize];
        pages.memory.read(u64::from(list.head) * PAGE_BYTES, &mut bytes);
        let count = if list.head == list.tail { list.in_tail } else { u16_at(&bytes, 4) };
        let receipts = bytes[RECEIPT_PAGE_HEADER_BYTES as usize..].chunks_exact(RECEIPT_BYTES);
        let taken = usize::from(list.taken);
        let receipts = receipts.take(usize::from(count)).skip(taken).map(StoredReceipt::decode).collect();
        (list.head, list.taken, receipts)
    }

    /// Notes that `count` receipts of a list's first page were swept; gives the page back when these were the last.
    pub fn taken<M: Memory>(&mut self, pages: &mut Pages<M>, at: usize, count: u16, page_done: bool) {
        let list = self.lists[at];
        if !page_done {
            self.set_list(pages, at, List { taken: list.taken + count, ..list });
            return;
        }
        let next = if list.head == list.tail {
            List::default()
        } else {
            let mut bytes = [0; 4];
            pages.memory.read(u64::from(list.head) * PAGE_BYTES, &mut bytes);
            List { head: u32_at(&bytes, 0), taken: 0, ..list }
        };
        pages.give_back(list.head, 1);
        self.pages -= 1;
        self.set_list(pages, at, next);
    }

    /// Calls `visit` with every page of the lists and how many receipts it has, for checks.
    pub fn each_page<M: Memory>(&self, pages: &Pages<M>, visit: &mut dyn FnMut(u32, u16)) {
        for list in &self.lists {
            let mut page = list.head;
            // A list has no more pages than there are.
            for _ in 0..pages.capacity {
                if page == 0 {
                    break;
                }
                if page == list.tail {
                    visit(page, list.in_tail);
                    break;
                }
                let mut bytes = [0; 6];
                pages.memory.read(u64::from(page) * PAGE_BYTES, &mut bytes);
                visit(page, u16_at(&bytes, 4));
                page = u32_at(&bytes, 0);
            }
        }
    }
}
