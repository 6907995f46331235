//! When the server was last asked something, for its idle time to live.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Requests and operations in progress, and when the last one ended.
#[derive(Clone)]
pub struct Activity {
    shared: Arc<Shared>,
}

struct Shared {
    pending: AtomicUsize,
    last: Mutex<Instant>,
}

/// Counts as activity until dropped.
pub struct Pending {
    shared: Arc<Shared>,
}

impl Default for Activity {
    fn default() -> Self {
        Self { shared: Arc::new(Shared { pending: AtomicUsize::new(0), last: Mutex::new(Instant::now()) }) }
    }
}

impl Activity {
    /// Begins a request or operation.
    pub fn begin(&self) -> Pending {
        self.shared.pending.fetch_add(1, Ordering::SeqCst);
        Pending { shared: self.shared.clone() }
    }

    /// Tells how long nothing has been in progress; `None` while something is.
    pub fn idle_for(&self) -> Option<Duration> {
        let last = self.shared.last.lock().expect("nothing panics while holding it");
        (self.shared.pending.load(Ordering::SeqCst) == 0).then(|| last.elapsed())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        *self.shared.last.lock().expect("nothing panics while holding it") = Instant::now();
        self.shared.pending.fetch_sub(1, Ordering::SeqCst);
    }
}
