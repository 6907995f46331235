//! One instance on a thread of its own, driven by closures.
//!
//! Canister code runs on that thread, so it has a large stack. A panic inside a closure is a bug of the simulator: it is
//! answered with its text, and the instance, whose state can't be trusted any more, answers nothing else from then on.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::{mpsc, oneshot, watch};

use super::answer::Refusal;
use crate::instance::{Instance, NetworkConfig};

/// Stack of the thread of an instance. Wasm frames live on it, and canisters call one another in nested queries.
const STACK_BYTES: usize = 64 << 20;
/// Closures waiting for one instance.
const JOBS_MAX: usize = 4_096;

type Job = Box<dyn FnOnce(&mut Instance) + Send>;

/// A handle to the thread of an instance. The thread ends when the last handle is dropped.
#[derive(Clone)]
pub struct Host {
    jobs: mpsc::Sender<Job>,
    waiting: Arc<AtomicUsize>,
    broken: Arc<OnceLock<String>>,
    rounds: watch::Receiver<u64>,
}

impl Host {
    /// Starts a thread and builds the instance on it.
    ///
    /// # Errors
    /// `Bad` when the configuration is refused, `Internal` when building it panics or no thread can be had.
    pub async fn start(config: NetworkConfig) -> Result<Self, Refusal> {
        let (jobs, receiver) = mpsc::channel(JOBS_MAX);
        let (created, outcome) = oneshot::channel();
        let (ran, rounds) = watch::channel(0);
        let host = Self { jobs, waiting: Arc::default(), broken: Arc::default(), rounds };
        std::thread::Builder::new()
            .name("instance".to_string())
            .stack_size(STACK_BYTES)
            .spawn(move || live(config, created, receiver, ran))
            .map_err(|error| Refusal::Internal(format!("no thread for the instance: {error}")))?;
        outcome.await.unwrap_or_else(|_| Err(Refusal::Internal("the instance's thread ended".to_string())))?;
        Ok(host)
    }

    /// Queues a closure and gives where its result will arrive.
    ///
    /// # Errors
    /// `Internal` when the instance is broken, `Overloaded` when too many closures wait.
    pub fn submit<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Instance) -> R + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<R, Refusal>>, Refusal> {
        self.check()?;
        let (sender, receiver) = oneshot::channel();
        let (broken, waiting) = (self.broken.clone(), self.waiting.clone());
        let job = Box::new(move |instance: &mut Instance| {
            let result = match broken.get() {
                Some(text) => Err(still_broken(text)),
                None => catch_unwind(AssertUnwindSafe(|| work(instance))).map_err(|payload| {
                    let text = panic_text(&*payload);
                    Refusal::Internal(broken.get_or_init(|| text).clone())
                }),
            };
            waiting.fetch_sub(1, Ordering::SeqCst);
            // The asker may have gone away; the work is done all the same.
            let _ = sender.send(result);
        });
        self.waiting.fetch_add(1, Ordering::SeqCst);
        if self.jobs.try_send(job).is_err() {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            return Err(Refusal::Overloaded(format!("{JOBS_MAX} requests wait for the instance already.")));
        }
        Ok(receiver)
    }

    /// Runs a closure on the instance and waits for its result.
    ///
    /// # Errors
    /// As [`Host::submit`]; `Internal` with the text of the panic when the closure panics.
    pub async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Instance) -> R + Send + 'static,
    ) -> Result<R, Refusal> {
        self.submit(work)?.await.unwrap_or_else(|_| Err(Refusal::Bad("The instance was deleted.".to_string())))
    }

    /// Gives what changes after every piece of work that ran rounds.
    pub fn rounds(&self) -> watch::Receiver<u64> {
        self.rounds.clone()
    }

    /// Describes the instance in a word, for the list of instances.
    pub fn state(&self) -> String {
        match (self.broken.get(), self.waiting.load(Ordering::SeqCst)) {
            (Some(text), _) => format!("Broken: {text}"),
            (None, 0) => "Available".to_string(),
            (None, _) => "Busy".to_string(),
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        self.broken.get().map_or(Ok(()), |text| Err(still_broken(text)))
    }
}

fn live(
    config: NetworkConfig,
    created: oneshot::Sender<Result<(), Refusal>>,
    mut jobs: mpsc::Receiver<Job>,
    rounds: watch::Sender<u64>,
) {
    let built = catch_unwind(|| Instance::new(config));
    let mut instance = match built {
        Ok(Ok(instance)) => instance,
        Ok(Err(text)) => return drop(created.send(Err(Refusal::Bad(text)))),
        Err(payload) => return drop(created.send(Err(Refusal::Internal(panic_text(&*payload))))),
    };
    if created.send(Ok(())).is_err() {
        return;
    }
    while let Some(job) = jobs.blocking_recv() {
        job(&mut instance);
        let last = instance.last_round_nanos();
        rounds.send_if_modified(|seen| std::mem::replace(seen, last) != last);
    }
    // A broken instance may panic again while it is torn down; nobody is left to be told.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(instance)));
}

fn still_broken(text: &str) -> Refusal {
    Refusal::Internal(format!("The instance is broken since an earlier panic: {text}"))
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| text.to_string());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    format!("The simulator panicked: {}", text.as_deref().unwrap_or("(no text)"))
}
