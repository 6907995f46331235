//! Scans: from the cursor to the shard that owns its hash, which answers the page.
//!
//! A shard whose range ends on the page gives a cursor to the next hash, so there is nothing to put together here.

use candid::Principal;
use canopy_types::api::errors::ScanError;
use canopy_types::cursor::{self, CursorOf};
use canopy_types::limits::bounded_reason;
use canopy_types::shard::{ShardScanArguments, ShardScanError, ShardScanResult};
use canopy_types::wire::{pages, refusals};
use canopy_types::{BusyReason, HashRange, KeyHash, Role, ScanArguments, ScanResult, codec};

use crate::access::{authorise, authorise_key, count};
use crate::calls::handing_on::{self, Outcome};
use crate::calls::{Effect, Reply, Request};
use crate::message;
use crate::refusal::{Failure, Whereabouts};
use crate::routing::not_ready;
use crate::state;

/// Answers a page to `caller`, and replies.
pub fn scan(caller: Principal) {
    let message = message::argument();
    let request = request_page(caller, &message).and_then(|request| {
        count(caller, 1, message.len()).map_err(|refusal| self::refusal(refusal.into()))?;
        Ok(request)
    });
    match request {
        Ok(request) => handing_on::update(request, caller, answer_page),
        Err(error) => ic_cdk::api::msg_reply(refuse(error)),
    }
}

/// Answers a page from one replica, and replies. It isn't counted: what a query counts is forgotten.
pub fn scan_query() {
    match request_page(ic_cdk::api::msg_caller(), &message::argument()) {
        Ok(request) => handing_on::query(request, answer_page),
        Err(error) => ic_cdk::api::msg_reply(refuse(error)),
    }
}

fn answer_page(shard: Principal, answer: Result<Reply, Failure>) -> Outcome {
    let page = answer.map_err(|failure| Unanswered::Refused(refusal(failure)));
    match page.and_then(|reply| read_page(shard, reply.bytes)) {
        Ok(reply) => Outcome::Answered(reply),
        Err(Unanswered::Elsewhere(whereabouts)) => Outcome::Elsewhere { whereabouts, unknown: None },
        Err(Unanswered::Refused(error)) => Outcome::Refused(refuse(error)),
    }
}

/// Writes why a page was not answered.
fn refuse(error: ScanError) -> Vec<u8> {
    match error.parts() {
        Some((tag, fields)) => refusals::refuse(tag, &fields),
        None => codec::encode(&ScanResult::Err(error)),
    }
}

fn request_page(caller: Principal, message: &[u8]) -> Result<Request, ScanError> {
    let reach = authorise(Role::Reader, caller).map_err(|refusal| self::refusal(refusal.into()))?;
    let ScanArguments { cursor, records_max, bytes_max, include_value, range, prefix } =
        codec::decode(message).map_err(|malformed| ScanError::MalformedArguments { reason: malformed.reason })?;
    // Who may read some keys only has to ask for those.
    let keys = prefix.as_ref().map_or(&[][..], |prefix| prefix);
    authorise_key(reach, Role::Reader, caller, keys).map_err(|refusal| self::refusal(refusal.into()))?;
    let asked = range.unwrap_or(HashRange::FULL);
    if !asked.is_valid() {
        return Err(ScanError::RangeEmpty { first: asked.first, last: asked.last });
    }
    if records_max == Some(0) || bytes_max == Some(0) {
        return Err(ScanError::PageEmpty);
    }
    let at = match &cursor {
        None => asked.first,
        // The shard refuses what isn't a cursor after all, and one behind the range is its end wherever it is asked.
        Some(cursor) => cursor::hash_of(CursorOf::Scan, cursor)
            .map_err(|fault| ScanError::InvalidCursor { reason: bounded_reason(&fault.to_string()) })?
            .max(asked.first),
    };
    let shard = owner(at)?;
    let arguments = ShardScanArguments { cursor, records_max, bytes_max, include_value, range, prefix };
    Ok(Request { shard, method: "scan", arguments: codec::encode(&arguments), effect: Effect::Read })
}

fn owner(hash: KeyHash) -> Result<Principal, ScanError> {
    state::with(|state| {
        let routing = state.routing.as_ref().ok_or_else(|| refusal(not_ready().into()))?;
        let route = routing.table.find(hash);
        Ok(route.expect("INVARIANT: a routing table that is in use covers every hash").shard)
    })
}

/// Why a shard answered no page.
enum Unanswered {
    /// The shard doesn't serve the hash where the page begins.
    Elsewhere(Whereabouts),
    Refused(ScanError),
}

/// Hands the shard's page on as it came, or translates its refusal.
fn read_page(shard: Principal, bytes: Vec<u8>) -> Result<Vec<u8>, Unanswered> {
    if pages::is_page(&bytes) {
        return Ok(bytes);
    }
    read_answer(shard, &bytes).map_err(Unanswered::Refused)?.map_err(Unanswered::Elsewhere)
}

fn read_answer(shard: Principal, bytes: &[u8]) -> Result<Result<Vec<u8>, Whereabouts>, ScanError> {
    let unavailable = |message| ScanError::ShardUnavailable { shard, reject_code: 0, message };
    let answer: ShardScanResult = codec::decode(bytes)
        .map_err(|malformed| unavailable(format!("the shard's answer can't be read: {}", malformed.reason)))?;
    match answer {
        Ok(page) => Ok(Ok(codec::encode(&ScanResult::Ok(page)))),
        Err(ShardScanError::InvalidCursor { reason }) => Err(ScanError::InvalidCursor { reason }),
        Err(ShardScanError::RangeEmpty { first, last }) => Err(ScanError::RangeEmpty { first, last }),
        Err(ShardScanError::PageEmpty) => Err(ScanError::PageEmpty),
        Err(ShardScanError::Growing { retry_after_milliseconds }) => {
            Err(ScanError::Busy { retry_after_milliseconds, reason: BusyReason::ShardGrows })
        }
        Err(ShardScanError::RateLimited {
            retry_after_milliseconds,
            operations_per_minute_max,
            bytes_per_minute_max,
        }) => {
            let reason = BusyReason::RateLimit { operations_per_minute_max, bytes_per_minute_max };
            Err(ScanError::Busy { retry_after_milliseconds, reason })
        }
        Err(ShardScanError::RolesUnknown) => Err(unavailable("the shard doesn't know its router".to_string())),
        Err(ShardScanError::WrongShard(wrong)) => Ok(Err(Whereabouts::Wrong(Box::new(wrong)))),
        Err(ShardScanError::Moving { retry_after_milliseconds }) => {
            Ok(Err(Whereabouts::Moving { retry_after_milliseconds }))
        }
        Err(ShardScanError::MalformedArguments { reason }) => {
            Err(unavailable(format!("the shard doesn't understand its router: {reason}")))
        }
        Err(ShardScanError::Unauthorised { caller }) => {
            Err(unavailable(format!("the shard doesn't know {caller} as its router")))
        }
    }
}

/// Makes the error of a failure before there was a page; reading changes nothing, so nothing is unknown.
fn refusal(failure: Failure) -> ScanError {
    match failure.settled() {
        Failure::Elsewhere { .. } => unreachable!("INVARIANT: a settled failure is one of the others"),
        Failure::NotDone(refusal) => ScanError::from_refusal(refusal)
            .unwrap_or_else(|other| ScanError::MalformedArguments { reason: bounded_reason(&format!("{other:?}")) }),
        Failure::Unknown { shard, reject_code, reason } => {
            ScanError::ShardUnavailable { shard, reject_code, message: reason }
        }
    }
}
