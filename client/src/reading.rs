//! Reads: asked again until there is an answer, or a reason why there is none.

use candid::Principal;
use canopy_types::api::{GetManyResult, GetResult};
use canopy_types::codec::decode;
use canopy_types::limits::{MESSAGE_BYTES_MAX, MESSAGE_OVERHEAD_BYTES_MAX};
use canopy_types::shard::{Answer, ShardGetResult};
use canopy_types::wire::{ActionRef, ApplyRef, GetManyRef, GetRef, ItemRef};
use canopy_types::{GetError, Record};

use crate::client::{Client, Reading, check_items};
use crate::join::join_all;
use crate::judge::{Heard, Kind, Place};
use crate::message::groups;
use crate::outcome::NotDone;
use crate::reason::{Advice, Reason, Refused};
use crate::requests::{FromShard, batch_reason, from_result, read_shard};
use crate::retry::Attempts;
use crate::routes::FromDirect;
use crate::transport::Transport;
use crate::write::check_key;
use crate::writing::{HOPS_MAX, MESSAGES_AT_ONCE_MAX, UNREADABLE};

#[cfg(test)]
mod tests;

/// Bytes of values that are asked for in one message, once their lengths are known: half of what a reply can hold,
/// because a router that asks several shards gives each a share.
const REPLY_VALUES_BYTES: usize = (MESSAGE_BYTES_MAX - MESSAGE_OVERHEAD_BYTES_MAX) / 2;

/// Times that values which didn't fit a reply are asked for in groups; then each is asked for alone.
const GROUPED_ROUNDS_MAX: u32 = 2;

/// What is known about the answers to a message of reads.
type Answers = Vec<Result<Option<Record>, Reason>>;

/// What to do after an attempt.
pub(crate) enum Next {
    Stop,
    /// Another shard or the router, at once.
    Elsewhere,
    Later {
        wait_milliseconds: u64,
        lost: bool,
    },
}

pub(crate) fn next<D>(heard: &Heard<D>) -> Next {
    match (heard.kind(), heard) {
        (Kind::Elsewhere, _) => Next::Elsewhere,
        // Reading changes nothing, so a lost answer is merely no answer.
        (Kind::Lost, _) => Next::Later { wait_milliseconds: 0, lost: true },
        (Kind::Passing, Heard::Refused(reason)) => match reason.advice() {
            Advice::TryAgain { after_milliseconds } => {
                let lost = matches!(reason, Reason::Rejected { .. } | Reason::NoAnswer { .. });
                Next::Later { wait_milliseconds: after_milliseconds, lost }
            }
            _ => Next::Stop,
        },
        _ => Next::Stop,
    }
}

pub(crate) fn answer<D>(heard: Heard<D>) -> Result<D, Reason> {
    match heard {
        Heard::Done(done) => Ok(done),
        Heard::Refused(reason) | Heard::Elsewhere(reason) => Err(reason),
        Heard::Lost(message) => Err(Reason::NoAnswer { message }),
    }
}

impl<T: Transport> Client<T> {
    /// Reads many records, each `None` when there is none. Records that don't fit a reply are asked for again, so all
    /// are answered, however large they are together; they have to fit the caller's memory.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, NotDone};
    ///
    /// async fn bytes<T: Transport>(client: &Client<T>, keys: &[&str]) -> Result<usize, NotDone> {
    ///     let records = client.get_many(keys).await?;
    ///     Ok(records.into_iter().flatten().flatten().map(|record| record.value.len()).sum())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// That a key has a wrong length or comes twice, and nothing was asked; for single keys: why there is no answer.
    pub async fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Result<Option<Record>, NotDone>>, NotDone> {
        let keys: Vec<&[u8]> = keys.iter().map(AsRef::as_ref).collect();
        check_items(&keys, |key| check_key(key))?;
        crate::client::check_keys(keys.iter().copied())?;
        let mut answers: Answers = vec![Err(Reason::NoAnswer { message: "not asked".to_string() }); keys.len()];
        // Places of the keys to ask for, with the values' lengths where they are known.
        let mut pending: Vec<(usize, usize)> = (0..keys.len()).map(|place| (place, 0)).collect();
        for round in 0..=GROUPED_ROUNDS_MAX {
            let messages = if round < GROUPED_ROUNDS_MAX {
                group_reads(&keys, &pending)
            } else {
                pending.iter().map(|(place, _)| vec![*place]).collect()
            };
            let calls = messages.into_iter().map(|places| async {
                let asked: Vec<&[u8]> = places.iter().map(|&place| keys[place]).collect();
                let answers = self.read_message(&asked).await;
                places.into_iter().zip(answers).collect::<Vec<_>>()
            });
            pending.clear();
            for (place, answer) in join_all(calls.collect(), MESSAGES_AT_ONCE_MAX).await.into_iter().flatten() {
                if let Err(Reason::AskAgain { bytes }) = &answer {
                    pending.push((place, usize::try_from(*bytes).unwrap_or(usize::MAX)));
                }
                answers[place] = answer;
            }
            if pending.is_empty() {
                break;
            }
            pending.sort_unstable();
        }
        Ok(answers.into_iter().map(|answer| answer.map_err(NotDone::from)).collect())
    }

    /// Reads one record whose key has not been checked.
    pub(crate) async fn read_one(
        &self,
        key: &[u8],
        include_value: Option<bool>,
        reading: Reading,
    ) -> Result<Option<Record>, NotDone> {
        check_key(key)?;
        let get = GetRef { key, include_value };
        let mut attempts = Attempts::begin(self.retry, &self.transport);
        let (mut hops, mut through_router) = (0, false);
        loop {
            let FromDirect { heard, moved } = self.ask_one(&get, reading, &mut through_router).await;
            match next(&heard) {
                Next::Stop => return answer(heard).map_err(NotDone::from),
                Next::Elsewhere => {
                    hops += 1;
                    through_router = !moved || hops > HOPS_MAX;
                }
                Next::Later { wait_milliseconds, lost } => {
                    through_router = true;
                    if !attempts.next(&self.transport, wait_milliseconds, lost).await {
                        return answer(heard).map_err(NotDone::from);
                    }
                }
            }
        }
    }

    async fn ask_one(
        &self,
        get: &GetRef<'_>,
        reading: Reading,
        through_router: &mut bool,
    ) -> FromDirect<Option<Record>> {
        let method = match reading {
            Reading::Agreed => "get",
            Reading::OneReplica => "get_query",
        };
        let arguments = get.write();
        if !*through_router {
            self.refresh_routes().await;
            let now = self.transport.now_nanoseconds();
            let shard =
                self.routes.group(std::iter::once((0, get.key)), now).and_then(|groups| groups.into_keys().next());
            if let Some(shard) = shard {
                return match self.call(shard, method, &arguments, reading).await {
                    Err(error) => {
                        self.routes.doubt();
                        FromDirect { heard: Heard::from_call_error(error, Place::Shard(shard)), moved: false }
                    }
                    Ok(reply) => match decode::<ShardGetResult>(&reply) {
                        Ok(result) => self.hear_shard(shard, get.key, from_result(shard, result), reading),
                        Err(_) => FromDirect { heard: Heard::Lost(UNREADABLE.to_string()), moved: false },
                    },
                };
            }
            *through_router = true;
        }
        let heard = match self.call(self.router, method, &arguments, reading).await {
            Err(error) => Heard::from_call_error(error, Place::Router),
            Ok(reply) => match decode::<GetResult>(&reply) {
                Ok(result) => heard_of_router(result),
                Err(_) => Heard::Lost(UNREADABLE.to_string()),
            },
        };
        FromDirect { heard, moved: false }
    }

    async fn call(
        &self,
        canister: Principal,
        method: &str,
        arguments: &[u8],
        reading: Reading,
    ) -> Result<Vec<u8>, crate::transport::CallError> {
        match reading {
            Reading::Agreed => self.transport.update(canister, method, arguments).await,
            Reading::OneReplica => self.transport.query(canister, method, arguments).await,
        }
    }

    /// Reads keys that fit a message. An answer may be `AskAgain`.
    async fn read_message(&self, keys: &[&[u8]]) -> Answers {
        if let [key] = keys {
            return vec![self.read_one(key, None, Reading::Agreed).await.map_err(|not_done| not_done.reason)];
        }
        let mut heard: Vec<Option<Heard<Option<Record>>>> = keys.iter().map(|_| None).collect();
        let mut attempts = Attempts::begin(self.retry, &self.transport);
        let (mut hops, mut through_router) = (0, false);
        loop {
            let open: Vec<usize> = (0..keys.len()).filter(|&place| is_open(&heard[place])).collect();
            let mut moved = false;
            for (place, from) in self.ask_many(keys, &open, &mut through_router).await {
                moved |= from.moved;
                heard[place] = Some(from.heard);
            }
            let (mut elsewhere, mut wait, mut any_lost, mut later) = (false, 0, false, false);
            for heard in heard.iter().flatten() {
                match next(heard) {
                    Next::Stop => {}
                    Next::Elsewhere => elsewhere = true,
                    Next::Later { wait_milliseconds, lost } => {
                        later = true;
                        wait = wait.max(wait_milliseconds);
                        any_lost |= lost;
                    }
                }
            }
            let again = if later {
                through_router = true;
                attempts.next(&self.transport, wait, any_lost).await
            } else {
                hops += 1;
                through_router |= !moved || hops > HOPS_MAX;
                elsewhere
            };
            if !again {
                let no_answer = || Heard::Lost(UNREADABLE.to_string());
                return heard.into_iter().map(|heard| answer(heard.unwrap_or_else(no_answer))).collect();
            }
        }
    }

    async fn ask_many(
        &self,
        keys: &[&[u8]],
        open: &[usize],
        through_router: &mut bool,
    ) -> Vec<(usize, FromDirect<Option<Record>>)> {
        if !*through_router {
            self.refresh_routes().await;
            let now = self.transport.now_nanoseconds();
            if let Some(groups) = self.routes.group(open.iter().map(|&place| (place, keys[place])), now) {
                let calls = groups.into_iter().map(|(shard, places)| self.ask_shard_for(shard, keys, places));
                return join_all(calls.collect(), MESSAGES_AT_ONCE_MAX).await.into_iter().flatten().collect();
            }
            *through_router = true;
        }
        let asked = open.iter().map(|&place| keys[place]).collect();
        let arguments = GetManyRef { keys: asked, include_value: None }.write();
        let heard = match self.transport.update(self.router, "get_many", &arguments).await {
            Err(error) => vec![Heard::from_call_error(error, Place::Router); open.len()],
            Ok(reply) => match decode::<GetManyResult>(&reply) {
                Ok(Ok(results)) if results.len() == open.len() => results.into_iter().map(heard_of_router).collect(),
                Ok(Err(error)) => vec![Heard::Refused(batch_reason::<GetError>(error)); open.len()],
                Ok(Ok(_)) | Err(_) => vec![Heard::Lost(UNREADABLE.to_string()); open.len()],
            },
        };
        open.iter().copied().zip(heard.into_iter().map(|heard| FromDirect { heard, moved: false })).collect()
    }

    async fn ask_shard_for(
        &self,
        shard: Principal,
        keys: &[&[u8]],
        places: Vec<usize>,
    ) -> Vec<(usize, FromDirect<Option<Record>>)> {
        let item = |&place: &usize| {
            let get = GetRef { key: keys[place], include_value: None };
            ItemRef { index: place as u32, action: ActionRef::Get(get) }
        };
        let caller = self.transport.caller();
        let items = places.iter().map(item).collect();
        let arguments = ApplyRef { caller: caller.as_slice(), operation: None, reply_bytes_max: None, items }.write();
        let take = |answer| match answer {
            Answer::Get(result) => Some(result),
            _ => None,
        };
        let answers: Vec<FromShard<Option<Record>>> = match self.transport.update(shard, "apply", &arguments).await {
            Err(error) => {
                self.routes.doubt();
                let heard = || Heard::from_call_error(error.clone(), Place::Shard(shard));
                return places.into_iter().map(|place| (place, FromDirect { heard: heard(), moved: false })).collect();
            }
            Ok(reply) => read_shard(shard, &reply, places.len(), take).unwrap_or_else(|| {
                places.iter().map(|_| FromShard::Heard(Heard::Lost(UNREADABLE.to_string()))).collect()
            }),
        };
        let hear = |(place, said): (usize, _)| (place, self.hear_shard(shard, keys[place], said, Reading::Agreed));
        places.into_iter().zip(answers).map(hear).collect()
    }
}

fn is_open(heard: &Option<Heard<Option<Record>>>) -> bool {
    heard.as_ref().is_none_or(|heard| !matches!(next(heard), Next::Stop))
}

fn heard_of_router(result: GetResult) -> Heard<Option<Record>> {
    match result {
        Ok(record) => Heard::Done(record),
        Err(error) => Heard::from_refused(Refused::from(error)),
    }
}

/// Groups keys into messages whose arguments, and whose values as far as their lengths are known, fit.
fn group_reads(keys: &[&[u8]], pending: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let mut messages = Vec::new();
    for range in groups(pending.iter().map(|(place, _)| keys[*place].len())) {
        let mut message = Vec::new();
        let mut value_bytes = 0;
        for &(place, bytes) in &pending[range] {
            if !message.is_empty() && value_bytes + bytes > REPLY_VALUES_BYTES {
                messages.push(std::mem::take(&mut message));
                value_bytes = 0;
            }
            message.push(place);
            value_bytes += bytes;
        }
        messages.push(message);
    }
    messages
}
