//! The state of a subnet, in parts.

pub mod account;
pub mod canister;
pub mod calls;
pub mod log;
pub mod messages;
pub mod queues;
pub mod snapshot;
pub mod subnet;

pub use account::{CyclesAccount, Ledger};
pub use calls::{CallContext, Callback, CallbackId, ContextId};
pub use canister::{Canister, Code, Settings, Status, StopWaiter};
pub use log::{CanisterLog, LogRecord, Visibility};
pub use messages::{
    CallOrigin, Ingress, IngressStatus, ManagementCall, ManagementOutcome, MessageId, Payload, Request, Response,
};
pub use queues::Queues;
pub use snapshot::{ChunkStore, Snapshot, SnapshotSource};
pub use subnet::{InstructionLimits, SubnetConfig, SubnetKind, SubnetState, Surroundings};
