//! The parts below the store: the tree at depth, and the allocator of page runs.

use std::collections::BTreeMap;

use super::memory::TestMemory;
use super::{Numbers, mix};
use crate::store::pages::{Metered, PageKind, Pages};
use crate::store::record::copy_short;
use crate::store::tree::{Entry, Tree, TreeKey};
use ic_stable_structures::Memory;

fn new_pages(mebibytes: u64) -> Pages<TestMemory> {
    let memory = TestMemory::default();
    memory.grow(mebibytes * 16);
    Pages::create(Metered::new(memory), (mebibytes * 256) as u32)
}

fn check_tree(tree: &mut Tree, pages: &Pages<TestMemory>, model: &BTreeMap<TreeKey, u64>) {
    assert_eq!(tree.check_nodes(pages).unwrap().len(), tree.pages as usize);
    let mut all = Vec::new();
    tree.each_leaf(pages, |_, low, high, entries| {
        all.extend(entries.iter().map(|entry| (entry.key, entry.payload)));
        assert!(entries.iter().all(|entry| low <= entry.key && entry.key <= high));
    });
    assert!(all.into_iter().eq(model.iter().map(|(key, payload)| (*key, *payload))));
}

/// Fills a tree in one order and empties it in another.
fn fill_and_empty(
    name: &str,
    insert: &mut dyn FnMut(u64) -> TreeKey,
    remove: &mut dyn FnMut(&mut Vec<TreeKey>) -> TreeKey,
) {
    const ENTRIES: u64 = 60_000;
    let mut pages = new_pages(128);
    let mut tree = Tree::create(&mut pages, PageKind::Index, 100).unwrap();
    let mut model = BTreeMap::new();
    for at in 0..ENTRIES {
        // No payload of the index is 0.
        let entry = Entry { key: insert(at), payload: at + 1 };
        let position = tree.find(&pages, entry.key);
        assert!(position.entry_with(entry.key).is_none());
        tree.insert(&mut pages, &position, entry, at % 3 == 0);
        model.insert(entry.key, at + 1);
    }
    assert!(tree.depth >= 3);
    check_tree(&mut tree, &pages, &model);
    println!("{name}: {} pages for {ENTRIES} entries", tree.pages);
    let mut keys: Vec<TreeKey> = model.keys().copied().collect();
    for at in 0..ENTRIES {
        let key = remove(&mut keys);
        let position = tree.find(&pages, key);
        assert_eq!(position.entry_with(key).map(|entry| entry.payload), model.remove(&key));
        tree.remove(&mut pages, &position, 1);
        if at % 9_973 == 0 {
            check_tree(&mut tree, &pages, &model);
        }
    }
    assert_eq!((tree.depth, tree.pages, tree.entries), (1, 1, 0));
}

#[test]
fn tree_keeps_order_in_random_ascending_and_descending_use() {
    let mut numbers = Numbers(4);
    let mut random = move |keys: &mut Vec<TreeKey>| {
        let at = numbers.below(keys.len() as u64) as usize;
        keys.swap_remove(at)
    };
    fill_and_empty("random", &mut |at| (mix(at), mix(at ^ 5)), &mut random);
    fill_and_empty("ascending", &mut |at| (at / 3, at % 3), &mut |keys| keys.remove(0));
    fill_and_empty("descending", &mut |at| (u64::MAX - at, 0), &mut |keys| keys.pop().unwrap());
    fill_and_empty("uneven", &mut |at| (mix(at) >> (at % 60), at), &mut random);
}

/// Few keys, often equal, so that leaves begin and end among them, and with dead entries.
#[test]
fn tree_keeps_equal_keys_apart_and_dead_entries_in_order() {
    let mut pages = new_pages(64);
    let mut tree = Tree::create(&mut pages, PageKind::Index, 3).unwrap();
    let mut model: BTreeMap<(TreeKey, u64), ()> = BTreeMap::new();
    let mut numbers = Numbers(11);
    for step in 1..=120_000 {
        // Turns between mostly growing and mostly shrinking.
        let removes = numbers.below(10) < if step / 8_000 % 2 == 0 { 4 } else { 7 };
        let key = (numbers.below(7), numbers.below(60));
        let there = model.range((key, 0)..=(key, u64::MAX)).next().map(|((_, payload), ())| *payload);
        match there {
            Some(payload) if removes => {
                let position = tree.equal_entry(&pages, key, |found| found == payload).unwrap();
                tree.remove(&mut pages, &position, 1);
                model.remove(&(key, payload));
            }
            _ if removes => assert!(tree.find(&pages, key).entry_with(key).is_none()),
            _ => {
                let position = tree.find(&pages, key);
                assert_eq!(position.entry_with(key).is_some(), there.is_some());
                tree.insert(&mut pages, &position, Entry { key, payload: step }, numbers.below(3) == 0);
                model.insert((key, step), ());
            }
        }
        if step % 1_009 == 0 {
            tree.check_nodes(&pages).unwrap();
            let mut all = Vec::new();
            tree.each_leaf(&pages, |_, _, _, entries| {
                all.extend(entries.iter().map(|entry| (entry.key, entry.payload)))
            });
            all.sort_unstable();
            assert!(all.iter().eq(model.keys()));
        }
    }
    assert!(tree.depth > 1);
}

#[test]
fn tree_leaves_are_full_when_keys_ascend() {
    let mut pages = new_pages(64);
    let mut tree = Tree::create(&mut pages, PageKind::Expiry, 100).unwrap();
    for at in 0..17_000 {
        let position = tree.find(&pages, (at, 0));
        tree.insert(&mut pages, &position, Entry { key: (at, 0), payload: at }, false);
    }
    assert!(tree.pages <= 103, "{}", tree.pages);
}

#[test]
fn allocator_hands_out_runs_that_never_overlap_and_takes_all_back() {
    for seed in 0..4 {
        let mut pages = new_pages(200);
        let whole = pages.available();
        let mut numbers = Numbers(seed << 32);
        let mut runs: BTreeMap<u32, u32> = BTreeMap::new();
        for _ in 0..30_000 {
            if numbers.below(20) < 11 {
                let length = match numbers.below(5) {
                    0 => numbers.below(280) + 1,
                    1 => 16,
                    2 => 4,
                    _ => 1,
                } as u32;
                let before = pages.available();
                let Some(page) = pages.take(length, PageKind::Run, 0) else {
                    assert_eq!(pages.available(), before);
                    continue;
                };
                let next = runs.range(page..).next().map_or(u32::MAX, |(next, _)| *next);
                let previous = runs.range(..page).next_back().map_or(0, |(first, count)| first + count);
                assert!(previous <= page && page + length <= next && page + length <= pages.capacity);
                assert_eq!(page / 16_384, (page + length - 1) / 16_384);
                runs.insert(page, length);
            } else if let Some((&page, _)) = runs.range(numbers.below(52_000) as u32..).next() {
                let length = runs.remove(&page).unwrap();
                pages.give_back(page, length);
            }
            let used: u64 = runs.values().map(|&length| u64::from(length)).sum();
            assert_eq!(pages.available() + used, whole);
        }
        for (page, length) in runs {
            pages.give_back(page, length);
        }
        assert_eq!(pages.available(), whole);
        // All merged: at most one free run in each segment before the frontier's.
        let mut free = 0;
        pages.each_free_run(&mut |_, _, _| free += 1);
        assert!(free <= 3, "{free}");
    }
}

#[test]
fn short_copies_copy_every_length() {
    let source: Vec<u8> = (1..=64).collect();
    for length in 0..=64 {
        let mut target = [0; 64];
        copy_short(&source[..length], &mut target);
        assert_eq!(target[..length], source[..length]);
        assert!(target[length..].iter().all(|&byte| byte == 0), "{length}");
    }
}
