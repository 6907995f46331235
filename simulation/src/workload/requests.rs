//! What clients ask for: drawing it, and writing its arguments.

use canopy_types::codec::encode;
use canopy_types::limits::{OPERATION_KEPT_SECONDS, VALUE_BYTES_MAX};
use canopy_types::{DeleteArguments, GetArguments, Operation, Precondition, PutArguments, Version};
use serde_bytes::ByteBuf;

use super::{Sender, Workload};
use crate::answers::{Method, fingerprint};
use crate::case::Case;
use crate::draw::Draw;
use crate::guests::GUESTS_KEYS_MAX;
use crate::history::{Action, History, Name, OperationId};
use crate::tally::Happening;

const SECOND_NANOS: u64 = 1_000_000_000;
/// Bytes of a value that tell it apart from others.
const VALUE_NUMBER_BYTES: usize = 8;
/// How often the shortest time to live, a second, may be doubled: up to a minute or so.
const TIME_TO_LIVE_DOUBLINGS_MAX: u64 = 7;
/// By how much clients' clocks are off, at most: less than the service bears.
const CLOCK_OFF_NANOS_MAX: u64 = 20 * SECOND_NANOS;

/// One write in so many is of each kind.
const WITHOUT_NAME_ONE_IN: u64 = 6;
const PRECONDITION_ONE_IN: u64 = 3;
const TIME_TO_LIVE_ONE_IN: u64 = 6;
const ID_REUSED_ONE_IN: u64 = 24;
const ID_OF_ANOTHER_ONE_IN: u64 = 24;
/// One operation in so many is issued at an odd time.
const ODD_TIME_ONE_IN: u64 = 10;
/// One request of a guest in so many is about any key.
const GUEST_ASTRAY_ONE_IN: u64 = 8;
/// One reader in so many asks for everything but the value.
const WITHOUT_VALUE_ONE_IN: u64 = 10;

/// What a client sends, byte for byte the same each time.
#[derive(Clone, Debug)]
pub struct Request {
    pub client: usize,
    pub method: Method,
    pub arguments: Vec<u8>,
    /// What it asks for, in the order of the answers.
    pub operations: Vec<OperationId>,
    /// None: a read, or a write without operation; it is not sent again.
    pub issued_nanos: Option<u64>,
    /// Sendings so far, and those among them that are not answered.
    pub sent: u32,
    pub open: u32,
    /// Sendings after the faults, while the service was ready.
    pub settling: u32,
}

impl Request {
    /// Tells when the service stops to take it; None if it has no name.
    pub fn kept_until_nanos(&self) -> Option<u64> {
        Some(self.issued_nanos? + OPERATION_KEPT_SECONDS * SECOND_NANOS)
    }
}

/// What was last told of a key, by anyone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    pub version: Option<u64>,
    pub ends_nanos: Option<u64>,
}

/// A write whose name may be used again.
#[derive(Clone, Copy, Debug)]
pub struct Recent {
    pub name: Name,
    pub key: usize,
}

impl Workload {
    /// Draws what a client asks for next.
    pub(super) fn draw_request(
        &mut self,
        client: usize,
        case: &Case,
        now_nanos: u64,
        history: &mut History,
    ) -> Request {
        let mut key = self.draw.below(case.keys.len() as u64) as usize;
        if case.guests.contains(&client) && self.draw.below(GUEST_ASTRAY_ONE_IN) > 0 {
            key %= GUESTS_KEYS_MAX;
        }
        let mut method = [Method::Put, Method::Get, Method::Delete, Method::GetQuery]
            [self.draw.weighted(&[case.mix.put, case.mix.get, case.mix.delete, case.mix.get_query])];
        if matches!((self.clients[client].sender, method), (Sender::Canister { .. }, Method::GetQuery)) {
            // Canisters can't call composite queries in replicated mode.
            method = Method::Get;
        }
        if !method.is_write() {
            return self.read_request(client, case, method, key, history);
        }
        let mut name = None;
        if self.draw.below(WITHOUT_NAME_ONE_IN) > 0 {
            let id = u128::from(self.draw.bits()) << 64 | u128::from(self.draw.bits());
            name = Some(Name { id, issued_nanos: draw_issued(&mut self.draw, now_nanos), index: 0 });
        } else {
            self.tally.note(Happening::WithoutName);
        }
        if let Some((recent, happening)) = self.draw_used_name(client, now_nanos) {
            // Values are new, so the arguments differ from those under this name before.
            (name, key, method) = (Some(recent.name), recent.key, Method::Put);
            self.tally.note(happening);
        }
        if let Some(name) = name {
            self.clients[client].recent = Some(Recent { name, key });
        }
        let precondition =
            if self.draw.below(PRECONDITION_ONE_IN) == 0 { Some(self.draw_precondition(key)) } else { None };
        let operation = name.map(|name| Operation {
            id: ByteBuf::from(name.id.to_be_bytes()),
            issued_at_nanoseconds: name.issued_nanos,
        });
        let key_bytes = ByteBuf::from(case.keys[key].clone());
        let (action, arguments) = if method == Method::Put {
            let value = self.draw_value(case, operation.is_some());
            let time_to_live_seconds = (self.draw.below(TIME_TO_LIVE_ONE_IN) == 0).then(|| {
                let most = 1 << self.draw.below(TIME_TO_LIVE_DOUBLINGS_MAX);
                self.draw.between(1, most)
            });
            let time_to_live_milliseconds = time_to_live_seconds.map(|seconds| seconds * 1_000);
            let time_to_live_nanos = time_to_live_milliseconds.map(|milliseconds| milliseconds * 1_000_000);
            let action = Action::Put { value: fingerprint(&value), precondition, time_to_live_nanos };
            let value = ByteBuf::from(value);
            let arguments = PutArguments { key: key_bytes, value, precondition, time_to_live_milliseconds, operation };
            (action, encode(&arguments))
        } else {
            (Action::Delete { precondition }, encode(&DeleteArguments { key: key_bytes, precondition, operation }))
        };
        let operation = history.begin(client, key, action, name);
        request(client, method, arguments, operation, name)
    }

    fn read_request(
        &mut self,
        client: usize,
        case: &Case,
        method: Method,
        key: usize,
        history: &mut History,
    ) -> Request {
        let include_value = (self.draw.below(WITHOUT_VALUE_ONE_IN) == 0).then_some(false);
        let arguments = encode(&GetArguments { include_value, ..GetArguments::new(case.keys[key].clone()) });
        let operation = history.begin(client, key, Action::Get, None);
        request(client, method, arguments, operation, None)
    }

    /// Draws whether a write takes the name of an earlier one: of the same client, which is a mistake, or of another,
    /// which is none.
    fn draw_used_name(&mut self, client: usize, now_nanos: u64) -> Option<(Recent, Happening)> {
        let own = self.draw.below(ID_REUSED_ONE_IN) == 0;
        let others = self.draw.below(ID_OF_ANOTHER_ONE_IN) == 0;
        let other = self.draw.below(self.clients.len() as u64) as usize;
        let (of, happening) = match (own, others) {
            (true, _) => (client, Happening::IdWithOtherArguments),
            (false, true) if other != client => (other, Happening::IdOfAnother),
            _ => return None,
        };
        let recent = self.clients[of].recent?;
        let lasts = recent.name.issued_nanos + OPERATION_KEPT_SECONDS * SECOND_NANOS > now_nanos;
        lasts.then_some((recent, happening))
    }

    fn draw_precondition(&mut self, key: usize) -> Precondition {
        match (self.draw.below(4), self.known[key].version) {
            (0, _) => Precondition::Absent,
            (1, _) => Precondition::Present,
            (_, Some(version)) => Precondition::Version(Version(version)),
            (_, None) => Precondition::Absent,
        }
    }

    /// Draws a value that was not put before, but for empty ones, which only operations put that nobody mistakes for
    /// another of their name.
    fn draw_value(&mut self, case: &Case, named: bool) -> Vec<u8> {
        self.next_value += 1;
        let large = case.large_value_one_in > 0 && self.draw.below(case.large_value_one_in) == 0;
        let bytes = match self.draw.below(20) {
            _ if large => VALUE_BYTES_MAX,
            0 if !named => return Vec::new(),
            1 => self.draw.between(1_000, 20_000) as usize,
            _ => self.draw.between(VALUE_NUMBER_BYTES as u64, 300) as usize,
        };
        let mut value = self.next_value.to_le_bytes().to_vec();
        value.resize(bytes, b'v');
        value
    }
}

fn request(client: usize, method: Method, arguments: Vec<u8>, operation: OperationId, name: Option<Name>) -> Request {
    let issued_nanos = name.map(|name| name.issued_nanos);
    Request { client, method, arguments, operations: vec![operation], issued_nanos, sent: 0, open: 0, settling: 0 }
}

/// Draws when an operation says it was issued: about now by most clients' clocks; else so that its time is nearly or
/// just over, or has not come yet.
fn draw_issued(draw: &mut Draw, now_nanos: u64) -> u64 {
    let off = draw.below(2 * CLOCK_OFF_NANOS_MAX);
    let odd = draw.below(ODD_TIME_ONE_IN) == 0;
    let kept = OPERATION_KEPT_SECONDS * SECOND_NANOS;
    match (odd, draw.below(4)) {
        (true, 0) => now_nanos + 2 * CLOCK_OFF_NANOS_MAX + off,
        (true, 1) => now_nanos - kept - off / 4,
        (true, _) => now_nanos - kept + off + SECOND_NANOS,
        (false, _) => now_nanos + off - CLOCK_OFF_NANOS_MAX,
    }
}
