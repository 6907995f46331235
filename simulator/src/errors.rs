//! Reject codes and error codes of the platform (interface specification; `ic-facts.md` 3.9).

use std::fmt;

/// Why a call was rejected, in six classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum RejectCode {
    SysFatal = 1,
    SysTransient = 2,
    DestinationInvalid = 3,
    CanisterReject = 4,
    CanisterError = 5,
    SysUnknown = 6,
}

macro_rules! error_codes {
    ($($name:ident = $code:literal),* $(,)?) => {
        /// The error codes `IC0xyz`. The first digit is the reject code, but for a canister's own reject.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum ErrorCode { $($name = $code),* }

        impl ErrorCode {
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$name),*];
        }
    };
}

error_codes! {
    SubnetOversubscribed = 101, MaxNumberOfCanistersReached = 102,
    CanisterQueueFull = 201, IngressMessageTimeout = 202, CanisterQueueNotEmpty = 203, IngressHistoryFull = 204,
    CanisterIdAlreadyExists = 205, StopCanisterRequestTimeout = 206, CanisterOutOfCycles = 207,
    CertifiedStateUnavailable = 208, CanisterInstallCodeRateLimited = 209, CanisterHeapDeltaRateLimited = 210,
    SubnetCoolingDown = 211,
    CanisterNotFound = 301, CanisterSnapshotNotFound = 305,
    InsufficientMemoryAllocation = 402, InsufficientCyclesForCreateCanister = 403, SubnetNotFound = 404,
    CanisterNotHostedBySubnet = 405, CanisterRejectedMessage = 406, UnknownManagementMessage = 407,
    InvalidManagementPayload = 408, CanisterSnapshotImmutable = 409, InvalidSubnetAdmin = 410,
    CanisterTrapped = 502, CanisterCalledTrap = 503, CanisterContractViolation = 504, CanisterInvalidWasm = 505,
    CanisterDidNotReply = 506, CanisterOutOfMemory = 507, CanisterStopped = 508, CanisterStopping = 509,
    CanisterNotStopped = 510, CanisterStoppingCancelled = 511, CanisterInvalidController = 512,
    CanisterFunctionNotFound = 513, CanisterNonEmpty = 514, QueryCallGraphLoopDetected = 517,
    InsufficientCyclesInCall = 520, CanisterWasmEngineError = 521, CanisterInstructionLimitExceeded = 522,
    CanisterMemoryAccessLimitExceeded = 524, QueryCallGraphTooDeep = 525,
    QueryCallGraphTotalInstructionLimitExceeded = 526, CompositeQueryCalledInReplicatedMode = 527,
    QueryTimeLimitExceeded = 528, QueryCallGraphInternal = 529, InsufficientCyclesInComputeAllocation = 530,
    InsufficientCyclesInMemoryAllocation = 531, InsufficientCyclesInMemoryGrow = 532,
    ReservedCyclesLimitExceededInMemoryAllocation = 533, ReservedCyclesLimitExceededInMemoryGrow = 534,
    InsufficientCyclesInMessageMemoryGrow = 535, CanisterMethodNotFound = 536, CanisterWasmModuleNotFound = 537,
    CanisterAlreadyInstalled = 538, CanisterWasmMemoryLimitExceeded = 539, ReservedCyclesLimitIsTooLow = 540,
    CanisterInvalidControllerOrSubnetAdmin = 541, CanisterStatusAccessDenied = 542,
    DeadlineExpired = 601, ResponseDropped = 602,
}

impl ErrorCode {
    pub fn reject_code(self) -> RejectCode {
        match self as u32 / 100 {
            1 => RejectCode::SysFatal,
            2 => RejectCode::SysTransient,
            3 => RejectCode::DestinationInvalid,
            4 => RejectCode::CanisterReject,
            5 => RejectCode::CanisterError,
            _ => RejectCode::SysUnknown,
        }
    }
}

impl fmt::Display for ErrorCode {
    /// `IC0503`, as in reject messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IC{:04}", *self as u32)
    }
}

/// A failure with its code and its text, without the `IC0xyz:` prefix (which only canister callers see).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserError {
    pub code: ErrorCode,
    pub message: String,
}

impl UserError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}
