//! The transport of tests: calls on a PocketIC instance, as a principal of the test's choice.

use candid::Principal;
use canopy_types::limits::bounded_reason;
use pocket_ic::{PocketIc, RejectResponse};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use super::{CallError, CannotWait, Transport};

/// Rounds that are run for an answer while the clock stands still.
const ROUNDS_AT_ONCE: u32 = 30;

/// Rounds that are run for an answer in all; after the first ones, each comes a second later, so that waits end.
const ROUNDS_MAX: u32 = 400;

/// How far the clock is put forward per round then.
const ROUND_LATER: Duration = Duration::from_secs(1);

/// Rounds that are run when waiting: one for each of so many milliseconds, at least and at most so many.
const ROUND_MILLISECONDS: u64 = 100;
const ROUNDS_PER_WAIT_MIN: u64 = 5;
const ROUNDS_PER_WAIT_MAX: u64 = 100;

/// How long is slept between two looks at an instance that runs by itself, and how often is looked: for a minute.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const LOOKS_MAX: u32 = 3_000;

/// Tells apart the draws of this process.
static DRAWS: AtomicU64 = AtomicU64::new(0);

/// Calls canisters on a PocketIC instance.
///
/// While a call is awaited, rounds are run and, if that doesn't help, the instance's clock is put forward; waiting puts
/// it forward too. An instance that runs by itself (`auto_progress`) is left to itself. Calls of one client that are open
/// at once are submitted before the first of them is awaited. Run the futures with [`block_on`].
///
/// ```no_run
/// use std::rc::Rc;
///
/// use candid::Principal;
/// use canopy_client::transport::PocketTransport;
/// use canopy_client::transport::block_on;
/// use canopy_client::{Client, Put};
/// use pocket_ic::PocketIc;
///
/// fn greet(instance: Rc<PocketIc>, router: Principal, caller: Principal) {
///     let client = Client::new(PocketTransport::new(instance, caller), router);
///     block_on(client.put(Put::new("greeting", "hello"))).expect("stored");
/// }
/// ```
pub struct PocketTransport {
    instance: Rc<PocketIc>,
    caller: Principal,
}

impl PocketTransport {
    /// Calls on `instance`, as `caller`.
    ///
    /// ```no_run
    /// use std::rc::Rc;
    ///
    /// use candid::Principal;
    /// use canopy_client::transport::PocketTransport;
    /// use pocket_ic::PocketIc;
    ///
    /// fn anonymous(instance: Rc<PocketIc>) -> PocketTransport {
    ///     PocketTransport::new(instance, Principal::anonymous())
    /// }
    /// ```
    pub fn new(instance: Rc<PocketIc>, caller: Principal) -> Self {
        Self { instance, caller }
    }

    /// Lets the instance go on by a round; `late` when that hasn't helped for a while.
    fn go_on(&self, live: bool, late: bool) {
        if live {
            thread::sleep(LOOK_AGAIN);
            return;
        }
        if late {
            self.instance.advance_time(ROUND_LATER);
        }
        self.instance.tick();
    }
}

impl Transport for PocketTransport {
    fn caller(&self) -> Principal {
        self.caller
    }

    async fn update(&self, canister: Principal, method: &str, arguments: &[u8]) -> Result<Vec<u8>, CallError> {
        let submitted = self.instance.submit_call(canister, self.caller, method, arguments.to_vec());
        let message = submitted.map_err(not_sent)?;
        // What else the client calls at the same time is submitted first.
        yield_once().await;
        let live = self.instance.auto_progress_enabled();
        let turns_max = if live { LOOKS_MAX } else { ROUNDS_MAX };
        for turn in 0..turns_max {
            if let Some(result) = self.instance.ingress_status(message.clone()) {
                return result.map_err(rejected);
            }
            self.go_on(live, turn >= ROUNDS_AT_ONCE);
            yield_once().await;
        }
        Err(CallError::Unknown { message: format!("no answer after {turns_max} rounds") })
    }

    async fn query(&self, canister: Principal, method: &str, arguments: &[u8]) -> Result<Vec<u8>, CallError> {
        self.instance.query_call(canister, self.caller, method, arguments.to_vec()).map_err(rejected)
    }

    fn can_query_composite(&self) -> bool {
        true
    }

    fn now_nanoseconds(&self) -> u64 {
        self.instance.get_time().as_nanos_since_unix_epoch()
    }

    /// Joins the process, the instance's time and a count: the same test draws the same, and no two of its draws are.
    fn draw(&self) -> [u8; 16] {
        let mut drawn = [0; 16];
        drawn[..8].copy_from_slice(&self.now_nanoseconds().to_le_bytes());
        drawn[8..].copy_from_slice(&DRAWS.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        drawn
    }

    async fn wait(&self, milliseconds: u64) -> Result<(), CannotWait> {
        let duration = Duration::from_millis(milliseconds);
        if self.instance.auto_progress_enabled() {
            thread::sleep(duration);
            return Ok(());
        }
        self.instance.advance_time(duration);
        for _ in 0..(milliseconds / ROUND_MILLISECONDS).clamp(ROUNDS_PER_WAIT_MIN, ROUNDS_PER_WAIT_MAX) {
            self.instance.tick();
        }
        Ok(())
    }
}

fn not_sent(reject: RejectResponse) -> CallError {
    CallError::NotSent { reject_code: reject.reject_code as u32, message: bounded_reason(&reject.reject_message) }
}

fn rejected(reject: RejectResponse) -> CallError {
    CallError::Rejected { reject_code: reject.reject_code as u32, message: bounded_reason(&reject.reject_message) }
}

/// Lets whatever else is being awaited go on once.
async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(move |context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Runs a future to its end on this thread.
///
/// ```
/// use canopy_client::transport::block_on;
///
/// assert_eq!(block_on(async { 1 + 1 }), 2);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park();
    }
}
