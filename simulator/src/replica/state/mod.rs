//! The state of a subnet, in parts.

pub mod account;
pub mod calls;
pub mod canister;
pub mod log;
pub mod messages;
pub mod queues;
pub mod snapshot;
pub mod subnet;

pub use account::{CyclesAccount, Ledger};
pub use calls::{CallContext, Callback, CallbackId, ContextId};
pub use canister::{Canister, Code, LongExecution, Settings, Status, StopWaiter, Task};
pub use log::{CanisterLog, LogRecord, Visibility};
pub use messages::{
    CallOrigin, Ingress, IngressStatus, ManagementCall, ManagementOutcome, MessageId, Payload, Request, Response,
};
pub use queues::{Input, Output, Queues};
pub use snapshot::{ChunkStore, Snapshot, SnapshotSource};
pub use subnet::{
    IngressRecord, InstructionLimits, Routes, StreamMessage, SubnetConfig, SubnetKind, SubnetState, Surroundings,
    Totals, canister_id, canister_number,
};
