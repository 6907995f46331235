//! What clients ask for: drawing it, and writing its arguments.

use canopy_types::codec::encode;
use canopy_types::limits::{OPERATION_KEPT_SECONDS, VALUE_BYTES_MAX};
use canopy_types::shard::{Action as ShardAction, Item};
use canopy_types::{
    DeleteArguments, DeleteItem, DeleteManyArguments, GetArguments, GetManyArguments, Operation, Precondition,
    PutArguments, PutItem, PutManyArguments, Version,
};
use serde_bytes::ByteBuf;

use super::Workload;
use super::scans::Scan;
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
const ID_AT_ANOTHER_PLACE_ONE_IN: u64 = 24;
/// Keys of a batch, at most.
const BATCH_KEYS_MAX: u64 = 8;
/// One reader in so many walks through all records.
const SCAN_ONE_IN: u64 = 16;
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
    /// As the router takes them; a shard takes those of a single operation too.
    pub arguments: Vec<u8>,
    /// What a shard is asked for instead of a batch; else empty.
    pub items: Vec<Item>,
    /// The batch's name, for a shard.
    pub operation: Option<Operation>,
    /// A walk through all records, of which each page is a sending of its own.
    pub scan: Option<Scan>,
    /// What it asks for, in the order of the answers; of a scan nothing, because its pages tell.
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
    /// Makes a request without name, not yet sent.
    pub fn new(client: usize, method: Method, arguments: Vec<u8>, operations: Vec<OperationId>) -> Self {
        Self {
            client,
            method,
            arguments,
            items: Vec::new(),
            operation: None,
            scan: None,
            operations,
            issued_nanos: None,
            sent: 0,
            open: 0,
            settling: 0,
        }
    }

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

/// Writes whose name may be used again.
#[derive(Clone, Debug)]
pub struct Recent {
    pub id: u128,
    pub issued_nanos: u64,
    /// By place.
    pub keys: Vec<usize>,
}

impl Workload {
    /// Draws what a client asks for next. `may_scan`: the driver knows the order of the keys.
    pub(super) fn draw_request(
        &mut self,
        client: usize,
        case: &Case,
        now_nanos: u64,
        may_scan: bool,
        history: &mut History,
    ) -> Request {
        let mut method = [Method::Put, Method::Get, Method::Delete, Method::GetQuery]
            [self.draw.weighted(&[case.mix.put, case.mix.get, case.mix.delete, case.mix.get_query])];
        if method == Method::GetQuery && self.clients[client].sender.is_canister() {
            // Canisters can't call composite queries in replicated mode.
            method = Method::Get;
        }
        let is_write = matches!(method, Method::Put | Method::Delete);
        let scans = self.draw.below(SCAN_ONE_IN) == 0;
        if !is_write && scans && may_scan {
            return self.draw_scan(client, case, method);
        }
        let many = self.draw.below(case.batch_one_in) == 0;
        let keys = self.draw_keys(client, case, if many { BATCH_KEYS_MAX } else { 1 });
        if is_write {
            return self.draw_write(client, case, now_nanos, method, keys, many, history);
        }
        let include_value = (self.draw.below(WITHOUT_VALUE_ONE_IN) == 0).then_some(false);
        let operations = keys.iter().map(|key| history.begin(client, *key, Action::Get, None)).collect();
        let key = |key: &usize| ByteBuf::from(case.keys[*key].clone());
        if !many {
            let arguments = encode(&GetArguments { key: key(&keys[0]), include_value });
            return Request::new(client, method, arguments, operations);
        }
        let arguments = encode(&GetManyArguments { keys: keys.iter().map(key).collect(), include_value });
        let get = |number| ShardAction::Get(GetArguments { key: key(number), include_value });
        let items = (0..).zip(&keys).map(|(index, number)| Item { index, action: get(number) }).collect();
        Request { items, ..Request::new(client, Method::GetMany, arguments, operations) }
    }

    /// Draws different keys: one, or up to so many.
    fn draw_keys(&mut self, client: usize, case: &Case, count_max: u64) -> Vec<usize> {
        let count = self.draw.between(1, count_max);
        let bound = if case.guests.contains(&client) && self.draw.below(GUEST_ASTRAY_ONE_IN) > 0 {
            case.keys.len().min(GUESTS_KEYS_MAX)
        } else {
            case.keys.len()
        };
        let mut keys = Vec::new();
        for _ in 0..count {
            let key = self.draw.below(bound as u64) as usize;
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }

    /// Draws a write of each of these keys, alone or as a batch.
    #[allow(clippy::too_many_arguments)]
    fn draw_write(
        &mut self,
        client: usize,
        case: &Case,
        now_nanos: u64,
        mut method: Method,
        mut keys: Vec<usize>,
        mut many: bool,
        history: &mut History,
    ) -> Request {
        let mut named = None;
        if self.draw.below(WITHOUT_NAME_ONE_IN) > 0 {
            let id = u128::from(self.draw.bits()) << 64 | u128::from(self.draw.bits());
            named = Some((id, draw_issued(&mut self.draw, now_nanos)));
        } else {
            self.tally.note(Happening::WithoutName);
        }
        if let Some((recent, happening)) = self.draw_used_name(client, case, now_nanos) {
            // Values are new, so the arguments differ from those under this name before.
            (named, keys, method) = (Some((recent.id, recent.issued_nanos)), recent.keys, Method::Put);
            many |= keys.len() > 1;
            self.tally.note(happening);
        }
        if let Some((id, issued_nanos)) = named {
            self.clients[client].recent = Some(Recent { id, issued_nanos, keys: keys.clone() });
        }
        let operation = named.map(|(id, issued_nanos)| Operation {
            id: ByteBuf::from(id.to_be_bytes()),
            issued_at_nanoseconds: issued_nanos,
        });
        let mut operations = Vec::new();
        let mut actions = Vec::new();
        let mut large_left = 1;
        for (index, key) in (0..).zip(&keys) {
            let (action, for_shard) = if method == Method::Put {
                self.draw_put(case, *key, named.is_some(), &mut large_left)
            } else {
                self.draw_delete(case, *key)
            };
            let name = named.map(|(id, issued_nanos)| Name { id, issued_nanos, index });
            operations.push(history.begin(client, *key, action, name));
            actions.push(for_shard);
        }
        let issued_nanos = named.map(|(_, issued_nanos)| issued_nanos);
        if !many {
            let arguments = match actions.swap_remove(0) {
                ShardAction::Put(PutItem { key, value, precondition, time_to_live_milliseconds }) => {
                    encode(&PutArguments { key, value, precondition, time_to_live_milliseconds, operation })
                }
                ShardAction::Delete(DeleteItem { key, precondition }) => {
                    encode(&DeleteArguments { key, precondition, operation })
                }
                ShardAction::Get(_) => unreachable!("only writes are drawn here"),
            };
            return Request { issued_nanos, ..Request::new(client, method, arguments, operations) };
        }
        let mut puts = Vec::new();
        let mut deletes = Vec::new();
        for action in &actions {
            match action {
                ShardAction::Put(put) => puts.push(put.clone()),
                ShardAction::Delete(delete) => deletes.push(delete.clone()),
                ShardAction::Get(_) => unreachable!("only writes are drawn here"),
            }
        }
        let (method, arguments) = if method == Method::Put {
            (Method::PutMany, encode(&PutManyArguments { items: puts, operation: operation.clone() }))
        } else {
            (Method::DeleteMany, encode(&DeleteManyArguments { items: deletes, operation: operation.clone() }))
        };
        let items = (0..).zip(actions).map(|(index, action)| Item { index, action }).collect();
        Request { items, operation, issued_nanos, ..Request::new(client, method, arguments, operations) }
    }

    fn draw_put(&mut self, case: &Case, key: usize, named: bool, large_left: &mut u32) -> (Action, ShardAction) {
        let precondition = self.perhaps_precondition(key);
        let value = self.draw_value(case, named, large_left);
        let time_to_live_seconds = (self.draw.below(TIME_TO_LIVE_ONE_IN) == 0).then(|| {
            let most = 1 << self.draw.below(TIME_TO_LIVE_DOUBLINGS_MAX);
            self.draw.between(1, most)
        });
        let time_to_live_milliseconds = time_to_live_seconds.map(|seconds| seconds * 1_000);
        let time_to_live_nanos = time_to_live_milliseconds.map(|milliseconds| milliseconds * 1_000_000);
        let action = Action::Put { value: fingerprint(&value), precondition, time_to_live_nanos };
        let (key, value) = (ByteBuf::from(case.keys[key].clone()), ByteBuf::from(value));
        (action, ShardAction::Put(PutItem { key, value, precondition, time_to_live_milliseconds }))
    }

    fn draw_delete(&mut self, case: &Case, key: usize) -> (Action, ShardAction) {
        let precondition = self.perhaps_precondition(key);
        let key = ByteBuf::from(case.keys[key].clone());
        (Action::Delete { precondition }, ShardAction::Delete(DeleteItem { key, precondition }))
    }

    /// Draws whether writes take the name of earlier ones: of the same client, which is a mistake unless they have other
    /// places; or of another client, which is none.
    fn draw_used_name(&mut self, client: usize, case: &Case, now_nanos: u64) -> Option<(Recent, Happening)> {
        let own = self.draw.below(ID_REUSED_ONE_IN) == 0;
        let others = self.draw.below(ID_OF_ANOTHER_ONE_IN) == 0;
        let moved = self.draw.below(ID_AT_ANOTHER_PLACE_ONE_IN) == 0;
        let other = self.draw.below(self.clients.len() as u64) as usize;
        let beside = self.draw.below(case.keys.len() as u64) as usize;
        let (of, happening) = match (own, others, moved) {
            (true, _, _) => (client, Happening::IdWithOtherArguments),
            (false, true, _) if other != client => (other, Happening::IdOfAnother),
            (false, _, true) => (client, Happening::IdAtAnotherPlace),
            _ => return None,
        };
        let mut recent = self.clients[of].recent.clone()?;
        if happening == Happening::IdAtAnotherPlace {
            match recent.keys[..] {
                [key] if key == beside => return None,
                [_] => recent.keys.insert(0, beside),
                _ => recent.keys.rotate_left(1),
            }
        }
        let lasts = recent.issued_nanos + OPERATION_KEPT_SECONDS * SECOND_NANOS > now_nanos;
        lasts.then_some((recent, happening))
    }

    fn perhaps_precondition(&mut self, key: usize) -> Option<Precondition> {
        (self.draw.below(PRECONDITION_ONE_IN) == 0).then(|| self.draw_precondition(key))
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
    /// another of their name. A message has room for so many large ones.
    fn draw_value(&mut self, case: &Case, named: bool, large_left: &mut u32) -> Vec<u8> {
        self.next_value += 1;
        let large = case.large_value_one_in > 0 && self.draw.below(case.large_value_one_in) == 0 && *large_left > 0;
        let bytes = match self.draw.below(20) {
            _ if large => {
                *large_left -= 1;
                VALUE_BYTES_MAX
            }
            0 if !named => return Vec::new(),
            1 => self.draw.between(1_000, 20_000) as usize,
            _ => self.draw.between(VALUE_NUMBER_BYTES as u64, 300) as usize,
        };
        let mut value = self.next_value.to_le_bytes().to_vec();
        value.resize(bytes, b'v');
        value
    }
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
