use super::*;
use crate::outcome::NotDone;
use crate::scripted::shard;
use candid::Nat;
use canopy_types::{Digest, KeyHash, Version};

/// Every reason but those about uploads and business, with what people are told.
fn reasons() -> Vec<(Reason, &'static str)> {
    let message = || "what was said".to_string();
    let nobody = "2vxsx-fae may not do that";
    vec![
        (Reason::NotReady { retry_after_milliseconds: 5 }, "the service is starting; try again in 5 ms"),
        (Reason::Unauthorised { caller: candid::Principal::anonymous() }, nobody),
        (Reason::KeyEmpty, "a key has at least one byte"),
        (Reason::KeyTooLong { bytes: 2, bytes_max: 1 }, "the key has 2 bytes, and a key has at most 1"),
        (Reason::ValueTooLong { bytes: 2, bytes_max: 1 }, "the value has 2 bytes, and a value has at most 1"),
        (
            Reason::TimeToLiveOutOfBounds { milliseconds: 1, milliseconds_min: 2, milliseconds_max: 3 },
            "a time to live of 1 ms is out of bounds: 2 ms to 3 ms",
        ),
        (Reason::PreconditionFailed { found: Some(Version(7)) }, "the record is there, with version 7"),
        (Reason::PreconditionFailed { found: None }, "there is no record"),
        (Reason::OperationIdReused, "the operation's id was used for another write"),
        (Reason::OperationTooOld { oldest_nanoseconds: 1 }, "this machine's clock and the network's are too far apart"),
        (
            Reason::OperationFromTheFuture { newest_nanoseconds: 1 },
            "this machine's clock and the network's are too far apart",
        ),
        (
            Reason::KeyCollides { keys_max: 8 },
            "8 other keys have the hashes of this one, and no more may: take another key",
        ),
        (Reason::AskAgain { bytes: 9 }, "the value has 9 bytes, more than the reply holds"),
        (Reason::KeyTwice { first: 0, second: 2 }, "items 0 and 2 have the same key"),
        (Reason::Item { index: 3, reason: Box::new(Reason::KeyEmpty) }, "item 3: a key has at least one byte"),
        (Reason::InvalidCursor { message: message() }, "the cursor is none of this service: what was said"),
        (
            Reason::RangeEmpty { first: KeyHash(255), last: KeyHash(1) },
            "no hash is in the range from 00000000000000ff to 0000000000000001",
        ),
        (Reason::NotSent { reject_code: 0, message: message() }, "the network is not reached: what was said"),
        (Reason::NotSent { reject_code: 4, message: message() }, "the caller may not do that (what was said)"),
        (Reason::NotSent { reject_code: 2, message: message() }, "the network refused it (code 2: what was said)"),
        (Reason::Rejected { reject_code: 5, message: message() }, "the network refused it (code 5: what was said)"),
        (Reason::NoAnswer { message: message() }, "no answer came: what was said"),
        (
            Reason::NotUnderstood { message: message() },
            "the service and this program don't understand each other: what was said",
        ),
    ]
}

#[test]
fn every_reason_is_told_in_words() {
    for (reason, words) in reasons() {
        assert_eq!(reason.to_string(), words);
        assert_eq!(NotDone { reason }.to_string(), format!("not done: {words}"));
    }
    let one = shard(1);
    assert_eq!(Reason::OutOfSpace { shard: one }.to_string(), format!("shard {one} has no memory left"));
    let gone = Reason::ShardUnavailable { shard: one, reject_code: 5, message: "trapped".to_string() };
    assert_eq!(gone.to_string(), format!("shard {one} doesn't answer (code 5: trapped)"));
}

#[test]
fn whatever_is_short_is_told_in_words() {
    let cycles = |cycles: u64| Nat::from(cycles);
    let limits = |operations_per_minute_max, bytes_per_minute_max| BusyReason::RateLimit {
        operations_per_minute_max,
        bytes_per_minute_max,
    };
    let told: [(BusyReason, &str); 9] = [
        (
            BusyReason::RouterCycles { available: cycles(1_000), required: cycles(2_000) },
            "its router can spend 1000 cycles, and the call needs 2000: top it up",
        ),
        (BusyReason::CallsOpen { open: 3, open_max: 3 }, "3 calls to the shard are open, and 3 may be"),
        (BusyReason::Platform { message: "full".to_string() }, "the platform took no call (full)"),
        (BusyReason::ShardGrows, "the shard is getting more memory"),
        (BusyReason::RangeMoves, "the range of the key is changing hands"),
        (BusyReason::TooManyOperations { operations_max: 4 }, "the key was written 4 times within 15 minutes"),
        (limits(Some(5), None), "the caller has used up its share of the minute (5 operations)"),
        (limits(None, Some(6)), "the caller has used up its share of the minute (6 bytes)"),
        (limits(Some(5), Some(6)), "the caller has used up its share of the minute (5 operations, 6 bytes)"),
    ];
    for (reason, words) in told {
        let reason = Reason::Busy { retry_after_milliseconds: 70, reason };
        assert_eq!(reason.to_string(), format!("the service is busy: {words}; try again in 70 ms"));
    }
}

#[test]
fn every_fault_of_an_upload_is_told_in_words() {
    let (caller, digest) = (candid::Principal::anonymous(), Digest([1; 32]));
    let told: [(UploadFault, &str); 17] = [
        (
            UploadFault::SizeOutOfBounds { bytes: 0, bytes_min: 1, bytes_max: 2 },
            "the value has 0 bytes, and one that is uploaded has 1 to 2",
        ),
        (UploadFault::NoSuchUpload, "there is no such upload: it was never begun, or is over for long"),
        (UploadFault::OtherCaller { caller }, "the upload was begun by somebody else than 2vxsx-fae"),
        (UploadFault::UploadReused, "the upload was begun with other arguments"),
        (UploadFault::Aborted, "the upload was given up, or took too long"),
        (UploadFault::Published { version: Version(7) }, "the upload is published already, as version 7"),
        (UploadFault::InvalidPass, "the pass is none of this upload"),
        (UploadFault::TooLate { until_nanoseconds: 1 }, "the upload took too long, and takes no chunks any more"),
        (UploadFault::IndexOutOfRange { index: 4, chunks: 3 }, "the value has 3 chunks, and none with number 4"),
        (UploadFault::ChunkLength { bytes: 1, bytes_required: 2 }, "the chunk has 1 bytes, and in its place one has 2"),
        (UploadFault::WrongDigest { computed: digest }, "the bytes have another digest than was said"),
        (UploadFault::ChunkDiffers { stored: digest }, "another chunk is stored in its place, and chunks never change"),
        (UploadFault::ChunksMissing { missing: 2, first: 1 }, "2 chunks are missing, the first with number 1"),
        (UploadFault::Gone, "the value was replaced while it was read; try again"),
        (UploadFault::TooManyUploads { open: 4, open_max: 4 }, "the caller has 4 uploads open, and may have 4"),
        (
            UploadFault::TooManyBytes { bytes: 9, bytes_max: 8 },
            "the caller's open uploads would have 9 bytes together, and may have 8",
        ),
        (UploadFault::ServiceFull { open_max: 5 }, "the service has 5 uploads open, and keeps no more"),
    ];
    for (fault, words) in told {
        assert_eq!(Reason::Upload(fault).to_string(), words);
    }
}
