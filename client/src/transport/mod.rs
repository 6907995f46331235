//! What the library asks of its surroundings: calls, a clock, random bytes and time to wait.
//!
//! The library runs in canisters, in programs that speak to the Internet Computer through an agent, and in tests beside
//! PocketIC. All that differs between them is behind [`Transport`].

use candid::Principal;
use std::future::Future;

#[cfg(feature = "ic-agent")]
mod agent;
#[cfg(feature = "ic-cdk")]
mod canister;
#[cfg(feature = "pocket-ic")]
mod pocket;

#[cfg(feature = "ic-agent")]
pub use agent::AgentTransport;
#[cfg(feature = "ic-cdk")]
pub use canister::CanisterTransport;
#[cfg(feature = "pocket-ic")]
pub use pocket::{PocketTransport, block_on};

/// Carries calls to canisters, and tells time.
///
/// The futures needn't be `Send`, because a canister has one thread. Where those of a transport are, those of the
/// [`Client`](crate::Client) are too, so a program with many threads can spawn them.
///
/// ```
/// use candid::Principal;
/// use canopy_client::transport::{CallError, Transport};
///
/// /// Asks any canister by a transport.
/// async fn version<T: Transport>(transport: &T, router: Principal) -> Result<Vec<u8>, CallError> {
///     transport.query(router, "status", b"DIDL\0\0").await
/// }
/// ```
pub trait Transport {
    /// Tells who the calls come from.
    fn caller(&self) -> Principal;

    /// Calls an update method, or a query method as an update, and gives the bytes of the reply.
    ///
    /// # Errors
    ///
    /// What is known about a call without reply. [`CallError::Unknown`] is for calls that may have run or may still run.
    fn update(
        &self,
        canister: Principal,
        method: &str,
        arguments: &[u8],
    ) -> impl Future<Output = Result<Vec<u8>, CallError>>;

    /// Calls a query method, answered by one replica where that is possible.
    ///
    /// # Errors
    ///
    /// As for `update`.
    fn query(
        &self,
        canister: Principal,
        method: &str,
        arguments: &[u8],
    ) -> impl Future<Output = Result<Vec<u8>, CallError>>;

    /// Tells whether `query` can call composite queries, which canisters can't.
    fn can_query_composite(&self) -> bool;

    /// Tells the time in nanoseconds since 1970. Needn't be right: the library notices when it differs from the
    /// service's.
    fn now_nanoseconds(&self) -> u64;

    /// Draws 16 bytes that this caller draws only once. They needn't be secret.
    fn draw(&self) -> [u8; 16];

    /// Waits, at least so long.
    ///
    /// # Errors
    ///
    /// That this transport can't: then what was refused for the moment is given back to the application.
    fn wait(&self, milliseconds: u64) -> impl Future<Output = Result<(), CannotWait>>;
}

/// Says that a transport has no way to let time pass.
///
/// ```
/// use canopy_client::transport::{CannotWait, Transport};
///
/// async fn can_wait<T: Transport>(transport: &T) -> bool {
///     transport.wait(0).await != Err(CannotWait)
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CannotWait;

/// Why a call has no reply.
///
/// ```
/// use canopy_client::transport::CallError;
///
/// fn may_have_run(error: &CallError) -> bool {
///     !matches!(error, CallError::NotSent { .. })
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The call was refused before it was sent or accepted: nothing runs.
    NotSent {
        /// The platform's reject code; 0 when the transport itself refuses.
        reject_code: u32,
        /// What is short.
        message: String,
    },
    /// The platform or the canister rejected the call. Whether something ran depends on the code and on the method.
    Rejected {
        /// The platform's reject code.
        reject_code: u32,
        /// What was said.
        message: String,
    },
    /// Nobody knows whether the call ran, or will still run.
    Unknown {
        /// Why not.
        message: String,
    },
}
