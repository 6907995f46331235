//! Bytes as operations on the store, with the model beside it: the corpus is replayed by an ordinary test.
//!
//! Fuzzing itself is the test `campaign`, which exists when the compiler counts what code runs (CONTRIBUTING.md has the
//! command): that works with a stable compiler and takes no other tool. It keeps every input that reaches something new,
//! shortens an input that fails, and leaves a small corpus that reaches all of the code that was
//! reached, in `shard/fuzz_corpus`.

use std::path::PathBuf;

use super::SMALL;
use super::memory::TestMemory;
use super::model::{Case, Source, Spread};
use crate::store::Options;

/// Longest input, in bytes: about a thousand operations.
const INPUT_BYTES_MAX: usize = 4_096;
/// Pages of 64 KiB at which the memory of some inputs ends.
const LIMITED_PAGES: u64 = 32;

/// Runs an input: one byte chooses the surroundings, the others are operations.
fn run(input: &[u8]) {
    let input = &input[..input.len().min(INPUT_BYTES_MAX)];
    let Some((&first, operations)) = input.split_first() else { return };
    let spread = [Spread::Even, Spread::FewHashes, Spread::FewTags][usize::from(first % 3)];
    let memory = TestMemory::default();
    memory.set_limit((first & 0x40 != 0).then_some(LIMITED_PAGES));
    let cached_nodes_max = if first & 0x80 != 0 { 1 } else { SMALL.cached_nodes_max };
    let mut case = Case::new(spread, memory, Options { cached_nodes_max, ..SMALL });
    let mut source = Source::Read(operations.to_vec(), 0);
    while !source.is_at_end() {
        case.step_from(&mut source);
    }
    case.finish();
}

fn corpus_folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz_corpus"))
}

fn corpus() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = corpus_folder();
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn corpus_agrees_with_model() {
    let corpus = corpus();
    assert!(corpus.len() >= 20, "the corpus is missing");
    for (path, input) in corpus {
        println!("{}", path.display());
        run(&input);
    }
}

#[cfg(canopy_coverage)]
mod campaign {
    use std::collections::{BTreeMap, BTreeSet};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::{Duration, Instant};

    use super::super::{Numbers, mix};
    use super::{INPUT_BYTES_MAX, corpus, corpus_folder, run};

    /// Attempts at shortening an input that fails.
    const SHORTENINGS_MAX: u32 = 3_000;

    /// Counters that the compiler put into the program, one per region of code (`-C instrument-coverage`).
    mod counters {
        unsafe extern "C" {
            #[link_name = "__start___llvm_prf_cnts"]
            static mut FIRST: u64;
            #[link_name = "__stop___llvm_prf_cnts"]
            static mut END: u64;
        }

        /// All counters.
        pub fn all() -> &'static mut [u64] {
            let (first, end) = (&raw mut FIRST, &raw mut END);
            // SAFETY: the linker lets both names stand for the ends of one section, which is nothing but counters; no
            // other thread runs code that counts while a campaign looks at them.
            unsafe { std::slice::from_raw_parts_mut(first, end.offset_from(first) as usize) }
        }
    }

    /// A region of code and about how often it ran.
    type Feature = (u32, u8);

    /// Runs an input; tells what it reached, or that it failed.
    fn observe(input: &[u8]) -> Result<Vec<Feature>, ()> {
        counters::all().fill(0);
        catch_unwind(AssertUnwindSafe(|| run(input))).map_err(drop)?;
        let reached = (0..).zip(counters::all().iter()).filter(|(_, count)| **count > 0);
        Ok(reached.map(|(at, count)| (at, count.ilog2() as u8)).collect())
    }

    fn mutate(numbers: &mut Numbers, corpus: &[Vec<u8>]) -> Vec<u8> {
        let pick = |numbers: &mut Numbers| corpus[numbers.below(corpus.len() as u64) as usize].clone();
        let mut input = pick(numbers);
        for _ in 0..1 + numbers.below(4) {
            let at = numbers.below(input.len() as u64 + 1) as usize;
            let length_max = if numbers.below(4) == 0 { 200 } else { 12 };
            let length = 1 + numbers.below(length_max) as usize;
            let end = (at + length).min(input.len());
            match numbers.below(7) {
                0 => {
                    let bytes: Vec<u8> = (0..length).map(|_| numbers.next() as u8).collect();
                    input.splice(at..at, bytes);
                }
                1 => {
                    input.drain(at..end);
                }
                2 => {
                    let bytes = input[at..end].to_vec();
                    for _ in 0..1 + numbers.below(8) {
                        input.splice(at..at, bytes.clone());
                    }
                }
                3 => {
                    let other = pick(numbers);
                    let from = numbers.below(other.len() as u64 + 1) as usize;
                    let to = (from + 4 * length).min(other.len());
                    input.splice(at..at, other[from..to].to_vec());
                }
                4 => {
                    let length = numbers.below(INPUT_BYTES_MAX as u64 / 2) as usize;
                    input.extend((0..length).map(|_| numbers.next() as u8));
                }
                _ => {
                    for byte in &mut input[at..end] {
                        *byte = numbers.next() as u8;
                    }
                }
            }
        }
        input.truncate(INPUT_BYTES_MAX);
        if input.is_empty() { vec![0] } else { input }
    }

    /// Cuts pieces out of an input as long as it fails.
    fn shorten(mut input: Vec<u8>, mut attempts: u32) -> Vec<u8> {
        let mut length = input.len() / 2;
        while length > 0 {
            let mut at = 0;
            while at < input.len() && attempts > 0 {
                attempts -= 1;
                let mut shorter = input.clone();
                shorter.drain(at..(at + length).min(input.len()));
                if observe(&shorter).is_err() {
                    input = shorter;
                } else {
                    at += length;
                }
            }
            length /= 2;
        }
        input
    }

    fn name(input: &[u8]) -> String {
        format!("{:016x}", input.iter().fold(input.len() as u64, |hash, byte| mix(hash ^ u64::from(*byte))))
    }

    /// Keeps an input for each region of code that no shorter one reaches, and writes them in place of the corpus.
    fn save(observed: &BTreeMap<Vec<u8>, Vec<Feature>>) -> usize {
        let mut inputs: Vec<_> = observed.iter().collect();
        inputs.sort_by_key(|(input, _)| input.len());
        let mut reached = BTreeSet::new();
        let mut kept = BTreeMap::new();
        for (input, features) in inputs {
            if features.iter().filter(|(region, _)| reached.insert(*region)).count() > 0 {
                kept.insert(name(input), input);
            }
        }
        for (path, _) in corpus() {
            let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
            if !name.starts_with("failed-") && !kept.contains_key(&name) {
                std::fs::remove_file(path).expect("the corpus can be written");
            }
        }
        for (name, input) in &kept {
            std::fs::write(corpus_folder().join(name), input).expect("the corpus can be written");
        }
        kept.len()
    }

    #[test]
    fn campaign() {
        let variable =
            |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
        let (seconds, seed) = (variable("CANOPY_FUZZ_SECONDS", 60), variable("CANOPY_FUZZ_SEED", 1));
        let end = Instant::now() + Duration::from_secs(seconds);
        let numbers = &mut Numbers(mix(seed));
        let mut reached = BTreeSet::new();
        let mut observed = BTreeMap::new();
        let mut inputs: Vec<Vec<u8>> = vec![];
        let mut runs = 0u64;
        let mut queue: Vec<Vec<u8>> = corpus().into_iter().map(|(_, input)| input).collect();
        queue.push(vec![0]);
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let mut failed = None;
        while Instant::now() < end || !queue.is_empty() {
            let input = queue.pop().unwrap_or_else(|| mutate(numbers, &inputs));
            runs += 1;
            let Ok(features) = observe(&input) else {
                failed = Some(input);
                break;
            };
            let is_new = features.iter().filter(|feature| reached.insert(**feature)).count() > 0;
            if is_new {
                inputs.push(input.clone());
                observed.insert(input, features);
            }
            if runs.is_multiple_of(5_000) {
                println!("{runs} runs, {} inputs, {} features", inputs.len(), reached.len());
            }
        }
        let failed = failed.map(|input| shorten(input, SHORTENINGS_MAX));
        std::panic::set_hook(hook);
        if let Some(input) = failed {
            let path = corpus_folder().join(format!("failed-{}", name(&input)));
            std::fs::write(&path, &input).expect("the corpus can be written");
            println!("{} fails:", path.display());
            run(&input);
            panic!("it fails only sometimes");
        }
        let kept = save(&observed);
        println!("seed {seed}: {runs} runs, {} features, {kept} inputs kept", reached.len());
    }
}
