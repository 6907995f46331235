//! Writes on their way: sent, judged, sent again, until each is done, not done or unknown.

use candid::Principal;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::client::{Client, Reading, too_late};
use crate::join::join_all;
use crate::judge::{Heard, Kind, Place, Verdict, judge};
use crate::message::{Asked, Message, groups};
use crate::outcome::{NotDone, SettleError, Unknown, WriteError};
use crate::reason::{Advice, Reason};
use crate::requests::{FromShard, ask_shard, read_shard};
use crate::retry::Attempts;
use crate::routes::FromDirect;
use crate::transport::Transport;
use crate::write::Write;

#[cfg(test)]
mod tests;

/// Messages of one call that are under way at once. Each may hold two mebibytes.
pub(crate) const MESSAGES_AT_ONCE_MAX: usize = 8;

/// Times that a write is issued anew because the client's clock was wrong: the first refusal tells the right time.
const REISSUES_MAX: u32 = 1;

/// Times that a message follows shards' words about who owns a key, before the router is asked.
pub(crate) const HOPS_MAX: u32 = 3;

/// What is known about one write of a message.
#[derive(Clone, Debug)]
enum Item {
    /// Not settled; `may_be_alive` once an attempt was lost. What was heard last, if anything.
    Open { may_be_alive: bool, last: Option<Reason>, why: String },
    /// Unknown, and asking again now wouldn't help.
    Stuck { why: String, is_too_old: bool },
    /// Settled, or issued anew in another message.
    Closed,
}

/// A message on its way.
struct Flight<W> {
    message: Arc<Message<W>>,
    items: Vec<Item>,
    /// Which result each item is of.
    results: Vec<usize>,
    attempts: Attempts,
    reissues: u32,
    hops: u32,
    through_router: bool,
    /// Whether an item can be moved to another message as long as no attempt of it may be alive. Not when settling.
    may_be_issued_anew: bool,
}

/// What became of writes, by their results' places.
type Results<W> = Vec<(usize, Result<<W as crate::write::Parts>::Done, WriteError<W>>)>;

/// What to do with a message after an attempt.
struct Next {
    /// How many items are to be sent again.
    again: usize,
    /// Which of them at once, because another shard or the router is asked.
    elsewhere: Vec<usize>,
    /// How long the service asks to wait.
    wait_milliseconds: u64,
    lost: bool,
}

impl<W: Write> Flight<W> {
    fn new(message: Message<W>, results: Vec<usize>, attempts: Attempts) -> Self {
        let open = Item::Open { may_be_alive: false, last: None, why: String::new() };
        Self {
            items: vec![open; message.items.len()],
            message: Arc::new(message),
            results,
            attempts,
            reissues: 0,
            hops: 0,
            through_router: false,
            may_be_issued_anew: true,
        }
    }

    fn open_places(&self) -> Vec<usize> {
        let open = |(place, item): (usize, &Item)| matches!(item, Item::Open { .. }).then_some(place);
        self.items.iter().enumerate().filter_map(open).collect()
    }

    /// Items that later messages must hold as they are: their names may still be taken by an earlier attempt.
    fn kept(&self) -> Vec<bool> {
        self.items.iter().map(|item| !matches!(item, Item::Closed)).collect()
    }

    /// Tells whether open items may travel under another operation: no attempt of theirs may be alive.
    fn may_be_moved(&self) -> bool {
        let alive = |item: &Item| matches!(item, Item::Stuck { .. } | Item::Open { may_be_alive: true, .. });
        self.may_be_issued_anew && !self.items.iter().any(alive)
    }

    /// Takes what was heard of the items at these places. Gives what is to be issued anew, with the reasons.
    fn judge(&mut self, heard: Vec<(usize, Heard<W::Done>)>, results: &mut Results<W>) -> (Next, Vec<(usize, Reason)>) {
        let mut next = Next { again: 0, elsewhere: Vec::new(), wait_milliseconds: 0, lost: false };
        let mut anew = Vec::new();
        for (place, heard) in heard {
            let Item::Open { may_be_alive, .. } = self.items[place] else { continue };
            let kind = heard.kind();
            let verdict = judge(kind, may_be_alive);
            let (reason, why) = match heard {
                Heard::Done(done) => {
                    results.push((self.results[place], Ok(done)));
                    self.items[place] = Item::Closed;
                    continue;
                }
                Heard::Refused(reason) | Heard::Elsewhere(reason) => {
                    let why = format!("refused after an attempt whose answer was lost: {reason:?}");
                    (Some(reason), why)
                }
                Heard::Lost(why) => (None, why),
            };
            match (verdict, reason) {
                (Verdict::AgainOrNotDone | Verdict::AgainOrUnknown, reason) => {
                    next.again += 1;
                    next.lost |= kind == Kind::Lost;
                    if kind == Kind::Elsewhere {
                        next.elsewhere.push(place);
                    }
                    if let Some(Advice::TryAgain { after_milliseconds }) = reason.as_ref().map(Reason::advice)
                        && kind == Kind::Passing
                    {
                        next.wait_milliseconds = next.wait_milliseconds.max(after_milliseconds);
                    }
                    let may_be_alive = may_be_alive || kind == Kind::Lost;
                    self.items[place] = Item::Open { may_be_alive, last: reason, why };
                }
                (Verdict::Reissue, Some(reason)) if self.may_be_issued_anew => {
                    self.items[place] = Item::Closed;
                    anew.push((place, reason));
                }
                (Verdict::NotDone, Some(reason)) => {
                    self.items[place] = Item::Closed;
                    results.push((self.results[place], Err(WriteError::NotDone(reason.into()))));
                }
                (_, reason) => {
                    let is_too_old = matches!(reason, Some(Reason::OperationTooOld { .. }));
                    self.items[place] = Item::Stuck { why, is_too_old };
                }
            }
        }
        (next, anew)
    }

    /// Ends: what is open is not done, or unknown if an attempt may be alive.
    fn end(mut self, results: &mut Results<W>) {
        for (item, result) in self.items.iter_mut().zip(&self.results) {
            if let Item::Open { may_be_alive: false, last: Some(reason), .. } = item {
                results.push((*result, Err(WriteError::NotDone(NotDone { reason: reason.clone() }))));
                *item = Item::Closed;
            }
        }
        // What was told as not done must stay so when the others are settled.
        let kept = self.kept();
        let message =
            if kept.iter().all(|kept| *kept) { self.message.clone() } else { Arc::new(self.message.with_only(&kept)) };
        for (place, item) in self.items.into_iter().enumerate() {
            let result = match item {
                Item::Closed => continue,
                Item::Open { why: reason, .. } => {
                    WriteError::Unknown(Unknown { message: message.clone(), place, reason, is_too_old: false })
                }
                Item::Stuck { why: reason, is_too_old } => {
                    WriteError::Unknown(Unknown { message: message.clone(), place, reason, is_too_old })
                }
            };
            results.push((self.results[place], Err(result)));
        }
    }
}

impl<T: Transport> Client<T> {
    /// Does writes whose arguments were checked, and gives a result for each in their order.
    pub(crate) async fn write_all<W: Write>(&self, writes: Vec<W>) -> Vec<Result<W::Done, WriteError<W>>> {
        let count = writes.len();
        let cuts = groups(writes.iter().map(W::payload_bytes));
        let mut writes = writes.into_iter();
        let flights = cuts.into_iter().map(|places| {
            let message = self.issue(writes.by_ref().take(places.len()).collect());
            let attempts = Attempts::begin(self.retry, &self.transport);
            self.fly(Flight::new(message, places.collect(), attempts))
        });
        let flights: Vec<_> = flights.collect();
        let mut results: Vec<_> = (0..count).map(|_| None).collect();
        for (place, result) in join_all(flights, MESSAGES_AT_ONCE_MAX).await.into_iter().flatten() {
            results[place] = Some(result);
        }
        results.into_iter().map(|result| result.expect("INVARIANT: a flight gives a result per item")).collect()
    }

    /// Sends messages again of which nobody knows what they did. Gives what became of the items that are asked for.
    pub(crate) async fn settle_messages<W: Write>(
        &self,
        messages: Vec<Asked<W>>,
    ) -> Vec<(usize, Result<W::Done, SettleError<W>>)> {
        let flights = messages.into_iter().map(|(message, asked)| async move {
            let attempts = Attempts::begin(self.retry, &self.transport);
            // All items that were unknown are sent as they are; what becomes of those that nobody asks for is told
            // when they are settled.
            let mut flight = Flight::new((*message).clone(), (0..message.items.len()).collect(), attempts);
            flight.message = message.clone();
            flight.may_be_issued_anew = false;
            flight.items.fill(Item::Open { may_be_alive: true, last: None, why: String::new() });
            let mut by_place: BTreeMap<usize, _> = self.fly(flight).await.into_iter().collect();
            let now = self.now();
            let settled = asked.into_iter().filter_map(|(place, result)| {
                let settled = by_place.remove(&place)?.map_err(|error| match error {
                    WriteError::NotDone(not_done) => SettleError::NotDone(not_done),
                    WriteError::Unknown(unknown) if unknown.is_too_late(now) => {
                        too_late(&unknown.message, unknown.place)
                    }
                    WriteError::Unknown(unknown) => SettleError::Unknown(unknown),
                });
                Some((result, settled))
            });
            settled.collect::<Vec<_>>()
        });
        join_all(flights.collect(), MESSAGES_AT_ONCE_MAX).await.into_iter().flatten().collect()
    }

    fn issue<W: Write>(&self, items: Vec<W>) -> Message<W> {
        Message::new(self.transport.draw(), self.now(), items)
    }

    /// Sends a message until each of its writes is settled or there may be no more attempts.
    async fn fly<W: Write>(&self, flight: Flight<W>) -> Results<W> {
        let mut results = Vec::new();
        let mut flights = vec![flight];
        while let Some(mut flight) = flights.pop() {
            loop {
                let heard = self.send(&mut flight).await;
                let (next, anew) = flight.judge(heard, &mut results);
                flights.extend(self.issue_anew(&flight, anew, &mut results));
                if next.again == 0 {
                    break;
                }
                if !next.elsewhere.is_empty() {
                    flight.hops += 1;
                    flight.through_router |= flight.hops > HOPS_MAX;
                    if next.elsewhere.len() == next.again {
                        // Ends, because the router never says that somebody else may do it.
                        flight = self.prepare_next(flight);
                        continue;
                    }
                    if flight.may_be_moved() {
                        // They need not wait with the others.
                        flights.push(self.take_out(&flight, &next.elsewhere));
                        next.elsewhere.iter().for_each(|&place| flight.items[place] = Item::Closed);
                    }
                }
                if !flight.attempts.next(&self.transport, next.wait_milliseconds, next.lost).await {
                    break;
                }
                flight = self.prepare_next(flight);
            }
            flight.end(&mut results);
        }
        results
    }

    /// Makes the message of the next attempt: without what is settled, and under its old operation wherever an attempt
    /// may be alive.
    fn prepare_next<W: Write>(&self, mut flight: Flight<W>) -> Flight<W> {
        let kept = flight.kept();
        if kept.iter().all(|kept| *kept) {
            return flight;
        }
        if flight.may_be_moved() {
            return self.take_out(&flight, &flight.open_places());
        }
        flight.message = Arc::new(flight.message.with_only(&kept));
        flight
    }

    /// Makes a message of some items, under an operation of its own. No attempt of any of them may be alive.
    fn take_out<W: Write>(&self, flight: &Flight<W>, places: &[usize]) -> Flight<W> {
        let items = places.iter().map(|&place| flight.message.items[place].clone()).collect();
        Flight {
            message: Arc::new(self.issue(items)),
            items: places.iter().map(|&place| flight.items[place].clone()).collect(),
            results: places.iter().map(|&place| flight.results[place]).collect(),
            ..*flight
        }
    }

    /// Issues writes anew, with the clock set right, unless that was done before.
    fn issue_anew<W: Write>(
        &self,
        flight: &Flight<W>,
        anew: Vec<(usize, Reason)>,
        results: &mut Results<W>,
    ) -> Option<Flight<W>> {
        if flight.reissues >= REISSUES_MAX {
            for (place, reason) in anew {
                results.push((flight.results[place], Err(WriteError::NotDone(reason.into()))));
            }
            return None;
        }
        let (_, reason) = anew.first()?;
        self.clock.learn(reason, self.transport.now_nanoseconds());
        let items = anew.iter().map(|(place, _)| flight.message.items[*place].clone()).collect();
        let results = anew.iter().map(|(place, _)| flight.results[*place]).collect();
        let reissues = flight.reissues + 1;
        Some(Flight { reissues, ..Flight::new(self.issue(items), results, flight.attempts) })
    }

    /// Sends what is open of a message, straight to the shards or through the router.
    async fn send<W: Write>(&self, flight: &mut Flight<W>) -> Vec<(usize, Heard<W::Done>)> {
        let open = flight.open_places();
        if !flight.through_router {
            self.refresh_routes().await;
            let keys = open.iter().map(|&place| (place, flight.message.items[place].key_bytes()));
            if let Some(groups) = self.routes.group(keys, self.transport.now_nanoseconds()) {
                let calls =
                    groups.into_iter().map(|(shard, places)| self.send_to_shard(shard, &flight.message, places));
                let said: Vec<_> =
                    join_all(calls.collect(), MESSAGES_AT_ONCE_MAX).await.into_iter().flatten().collect();
                // Whoever refuses here, or can't be asked, is left to the router; so is what was lost.
                let fails = |said: &FromDirect<W::Done>| {
                    !said.moved && matches!(said.heard.kind(), Kind::Lost | Kind::Elsewhere)
                };
                flight.through_router = said.iter().any(|(_, said)| fails(said));
                return said.into_iter().map(|(place, said)| (place, said.heard)).collect();
            }
            flight.through_router = true;
        }
        let (method, arguments) = W::ask(&flight.message);
        match self.transport.update(self.router, method, &arguments).await {
            Err(error) => {
                let heard = |place| (place, Heard::from_call_error(error.clone(), Place::Router));
                open.into_iter().map(heard).collect()
            }
            Ok(reply) => match W::read(&reply, flight.message.items.len()) {
                // Among them are answers to what was settled before, which nobody asks for.
                Some(heard) => heard.into_iter().map(|heard| name_items(heard, &flight.results)).enumerate().collect(),
                None => open.into_iter().map(|place| (place, Heard::Lost(UNREADABLE.to_string()))).collect(),
            },
        }
    }

    async fn send_to_shard<W: Write>(
        &self,
        shard: Principal,
        message: &Message<W>,
        places: Vec<usize>,
    ) -> Vec<(usize, FromDirect<W::Done>)> {
        let arguments = ask_shard(self.transport.caller(), message, &places);
        let answers: Vec<FromShard<W::Done>> = match self.transport.update(shard, "apply", &arguments).await {
            Err(error) => {
                self.routes.doubt();
                let heard = || Heard::from_call_error(error.clone(), Place::Shard(shard));
                return places.into_iter().map(|place| (place, FromDirect { heard: heard(), moved: false })).collect();
            }
            Ok(reply) => read_shard(shard, &reply, places.len(), W::take).unwrap_or_else(|| {
                places.iter().map(|_| FromShard::Heard(Heard::Lost(UNREADABLE.to_string()))).collect()
            }),
        };
        let hear = |(place, said): (usize, _)| {
            (place, self.hear_shard(shard, message.items[place].key_bytes(), said, Reading::Agreed))
        };
        places.into_iter().zip(answers).map(hear).collect()
    }
}

/// Names items of a message, of which a refusal speaks, by their places in the application's batch.
fn name_items<D>(heard: Heard<D>, results: &[usize]) -> Heard<D> {
    let place = |place: usize| results.get(place).copied().unwrap_or(place);
    match heard {
        Heard::Refused(Reason::Item { index, reason }) => Heard::Refused(Reason::Item { index: place(index), reason }),
        Heard::Refused(Reason::KeyTwice { first, second }) => {
            Heard::Refused(Reason::KeyTwice { first: place(first), second: place(second) })
        }
        other => other,
    }
}

/// Why nothing is known after a reply that isn't what the method answers.
pub(crate) const UNREADABLE: &str = "the reply can't be read";
