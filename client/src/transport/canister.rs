//! The transport of a canister: calls with bounded wait through ic-cdk.

use candid::Principal;
use canopy_types::limits::bounded_reason;
use ic_cdk::call::{Call, CallFailed};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{CallError, CannotWait, Transport};

/// How long a canister waits for an answer, in seconds.
///
/// The router waits 60 seconds for a shard; whoever waits for the router should not give up before it.
const CALL_TIMEOUT_SECONDS: u32 = 90;

/// Draws of this canister since its code was installed or upgraded. One for all clients, so that no two draw the same.
static DRAWS: AtomicU64 = AtomicU64::new(0);

/// Calls other canisters on behalf of the canister that it runs in.
///
/// Replies that are lost are told as unknown after 90 seconds, so an upgrade never waits longer for an open call. A
/// canister can't sleep, so a service that is busy is told to the application at once.
///
/// ```no_run
/// use candid::Principal;
/// use canopy_client::transport::CanisterTransport;
/// use canopy_client::{Client, NotDone};
///
/// async fn read(router: Principal, key: &str) -> Result<Option<Vec<u8>>, NotDone> {
///     let client = Client::new(CanisterTransport, router);
///     Ok(client.get(key).await?.map(|record| record.value.into_vec()))
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct CanisterTransport;

impl Transport for CanisterTransport {
    fn caller(&self) -> Principal {
        ic_cdk::api::canister_self()
    }

    async fn update(&self, canister: Principal, method: &str, arguments: &[u8]) -> Result<Vec<u8>, CallError> {
        let call = Call::bounded_wait(canister, method).with_raw_args(arguments).change_timeout(CALL_TIMEOUT_SECONDS);
        match call.await {
            Ok(reply) => Ok(reply.into_bytes()),
            Err(failure) => Err(call_error(failure)),
        }
    }

    async fn query(&self, canister: Principal, method: &str, arguments: &[u8]) -> Result<Vec<u8>, CallError> {
        self.update(canister, method, arguments).await
    }

    fn can_query_composite(&self) -> bool {
        false
    }

    fn now_nanoseconds(&self) -> u64 {
        ic_cdk::api::time()
    }

    /// Condenses the time, the canister's version and a count of draws.
    ///
    /// An operation belongs to its caller, so its id must be new for this canister and may be guessed by others; random
    /// bytes would cost a call. The count tells apart draws at the same time, and the version, which grows with every
    /// change of the code or of a snapshot, those before and after the count began anew. If a message is taken back, so
    /// is its count, but then it sent nothing.
    fn draw(&self) -> [u8; 16] {
        let count = DRAWS.fetch_add(1, Ordering::Relaxed);
        let mut words = [0; 24];
        let parts = [ic_cdk::api::time(), ic_cdk::api::canister_version(), count];
        for (place, part) in words.chunks_exact_mut(8).zip(parts) {
            place.copy_from_slice(&part.to_le_bytes());
        }
        xxhash_rust::xxh3::xxh3_128(&words).to_le_bytes()
    }

    async fn wait(&self, _milliseconds: u64) -> Result<(), CannotWait> {
        Err(CannotWait)
    }
}

fn call_error(failure: CallFailed) -> CallError {
    match failure {
        CallFailed::InsufficientLiquidCycleBalance(short) => CallError::NotSent {
            reject_code: 0,
            message: format!("the call needs {} cycles and the canister has {}", short.required, short.available),
        },
        CallFailed::CallPerformFailed(_) => {
            CallError::NotSent { reject_code: 0, message: "the platform took no call".to_string() }
        }
        CallFailed::CallRejected(reject) => CallError::Rejected {
            reject_code: reject.raw_reject_code(),
            message: bounded_reason(reject.reject_message()),
        },
    }
}
