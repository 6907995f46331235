//! A campaign on all processors: shares of its seeds, each run by a process of its own.
//!
//! Threads of one process would stand in each other's way: whatever changes one canister's memory mapping interrupts the
//! threads of all others, which takes half of the time.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use canopy_simulation::campaign::Summary;
use canopy_simulation::results::{self, Subject, parts};

use crate::progress_bar;

/// Seeds of a share: a minute or two of one processor.
const SHARE_SEEDS: u64 = 25;

/// Memory that a run gives back is kept for the next one; these are settings of glibc, in bytes, unknown elsewhere.
const ALLOCATOR: [(&str, &str); 3] =
    [("MALLOC_TRIM_THRESHOLD_", "268435456"), ("MALLOC_MMAP_THRESHOLD_", "268435456"), ("MALLOC_TOP_PAD_", "67108864")];

/// A range of seeds, and where the sums of it are.
struct Share {
    first: u64,
    seeds: u64,
    part: PathBuf,
}

/// Runs `seeds` seeds from `first` on in `processes` processes at a time, and adds up what they found. After a failure no
/// other share is begun; what its process said is shown.
///
/// # Errors
/// A process that can't be begun or ends without sums, with what it said.
pub fn run(first: u64, seeds: u64, processes: usize) -> Result<(Subject, Summary), String> {
    let begun = Instant::now();
    let folder = tempfile::tempdir().map_err(|error| format!("no folder for the parts: {error}"))?;
    let shares: VecDeque<Share> = (0..seeds.div_ceil(SHARE_SEEDS))
        .map(|number| Share {
            first: first + number * SHARE_SEEDS,
            seeds: SHARE_SEEDS.min(seeds - number * SHARE_SEEDS),
            part: folder.path().join(number.to_string()),
        })
        .collect();
    // Whatever is committed meanwhile, this is what runs.
    let commit = results::commit();
    let progress = progress_bar(seeds as usize, "seeds");
    let waiting = Mutex::new(shares);
    let done: Mutex<Vec<Result<String, String>>> = Mutex::default();
    let work = || {
        while let Some(share) = take(&waiting) {
            let (sums, is_right) = share.run(&commit);
            if !is_right {
                take_all(&waiting);
            }
            progress.inc(share.seeds);
            println!("{} seeds in {:.0} s", progress.position(), begun.elapsed().as_secs_f64());
            done.lock().expect("no thread panics while it holds the sums").push(sums);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..processes.max(1) {
            scope.spawn(work);
        }
    });
    progress.finish_and_clear();
    let texts = done.into_inner().expect("no thread panics while it holds the sums");
    let texts = texts.into_iter().collect::<Result<Vec<_>, _>>()?;
    let (subject, mut summary) = parts::add(&texts)?;
    summary.seconds = begun.elapsed().as_secs_f64();
    Ok((subject, summary))
}

fn take(waiting: &Mutex<VecDeque<Share>>) -> Option<Share> {
    waiting.lock().expect("no thread panics while it holds the queue").pop_front()
}

fn take_all(waiting: &Mutex<VecDeque<Share>>) {
    waiting.lock().expect("no thread panics while it holds the queue").clear();
}

impl Share {
    /// Gives the sums of the share, and whether all of it is right.
    fn run(&self, commit: &str) -> (Result<String, String>, bool) {
        let said = match self.start(commit) {
            Ok(said) => said,
            Err(reason) => return (Err(reason), false),
        };
        if !said.status.success() {
            println!("{}", String::from_utf8_lossy(&said.stdout));
        }
        let sums = std::fs::read_to_string(&self.part).map_err(|_| {
            format!(
                "seeds from {} on ended with {}: {}",
                self.first,
                said.status,
                String::from_utf8_lossy(&said.stderr)
            )
        });
        let is_right = sums.is_ok() && said.status.success();
        (sums, is_right)
    }

    fn start(&self, commit: &str) -> Result<Output, String> {
        let program = std::env::current_exe().map_err(|error| format!("this program isn't found: {error}"))?;
        Command::new(program)
            .args(["campaign", "--seed", &self.first.to_string(), "--seeds", &self.seeds.to_string()])
            .args(["--commit", commit, "--part"])
            .arg(&self.part)
            .envs(ALLOCATOR)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("a process for seeds from {} on: {error}", self.first))
    }
}
