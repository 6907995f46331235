//! The client: one router, one transport, and what the library knows about the service.

use candid::Principal;
use canopy_types::{DeleteReply, PutReply, Record, UploadId};

use crate::clock::Clock;
use crate::large::{LargeError, LargePut, LargeRecord, WINDOW};
use crate::message::{Asked, Message};
use crate::outcome::{NotDone, SettleError, TooLate, Unknown, WriteError};
use crate::reason::Reason;
use crate::retry::RetryPolicy;
use crate::routes::Routes;
use crate::transport::Transport;
use crate::write::{Delete, Parts, Put, Write, check_key};
use std::sync::Arc;

/// Times that a read looks whether a key holds a record or a large value, while they replace each other.
const WHOLE_READINGS_MAX: u32 = 3;

/// How operations get to their shards.
///
/// ```
/// use canopy_client::transport::Transport;
/// use canopy_client::{Client, Routing};
///
/// fn through_router<T: Transport>(client: Client<T>) -> Client<T> {
///     client.with_routing(Routing::ThroughRouter)
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Routing {
    /// Straight to the shard, by a copy of the routing table, wherever the service lets the caller; else through the
    /// router.
    #[default]
    Direct,
    /// Through the router, always.
    ThroughRouter,
}

/// Stores and reads records of one Canopy service.
///
/// All methods take `&self`, so one client can have many operations under way. It keeps a copy of the routing table and
/// what it learned about the service's clock, so make it once and keep it.
///
/// ```
/// use candid::Principal;
/// use canopy_client::transport::Transport;
/// use canopy_client::{Client, NotDone, Put, WriteError};
///
/// async fn greet<T: Transport>(client: &Client<T>) -> Result<(), Box<dyn std::error::Error>> {
///     match client.put(Put::new("greeting", "hello").if_absent()).await {
///         Ok(reply) => println!("stored as version {}", reply.version.0),
///         // Typed, with advice: try again later, ask differently, or ask an administrator.
///         Err(WriteError::NotDone(not_done)) => println!("{not_done}: {:?}", not_done.advice()),
///         // May have been done. The same operation again, which does nothing twice:
///         Err(WriteError::Unknown(unknown)) => drop(client.settle(unknown).await?),
///     }
///     let record = client.get("greeting").await?;
///     assert!(record.is_some());
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Client<T> {
    pub(crate) transport: T,
    pub(crate) router: Principal,
    pub(crate) retry: RetryPolicy,
    pub(crate) clock: Clock,
    pub(crate) routes: Routes,
}

impl<T: Transport> Client<T> {
    /// Speaks to the service of `router` through `transport`.
    ///
    /// ```
    /// use candid::Principal;
    /// use canopy_client::Client;
    /// use canopy_client::transport::Transport;
    ///
    /// fn connect<T: Transport>(transport: T) -> Client<T> {
    ///     Client::new(transport, Principal::from_text("rdmx6-jaaaa-aaaaa-aaadq-cai").expect("an id"))
    /// }
    /// ```
    pub fn new(transport: T, router: Principal) -> Self {
        let routes = Routes::new(Routing::default());
        Self { transport, router, retry: RetryPolicy::default(), clock: Clock::default(), routes }
    }

    /// Changes how often and after how long something is tried again.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, RetryPolicy};
    ///
    /// fn impatient<T: Transport>(client: Client<T>) -> Client<T> {
    ///     client.with_retry_policy(RetryPolicy { attempts_max: 2, ..RetryPolicy::default() })
    /// }
    /// ```
    pub fn with_retry_policy(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Changes how operations get to their shards.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, Routing};
    ///
    /// fn through_router<T: Transport>(client: Client<T>) -> Client<T> {
    ///     client.with_routing(Routing::ThroughRouter)
    /// }
    /// ```
    pub fn with_routing(mut self, routing: Routing) -> Self {
        self.routes = Routes::new(routing);
        self
    }

    /// Shows the transport.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::Client;
    ///
    /// fn caller<T: Transport>(client: &Client<T>) -> String {
    ///     client.transport().caller().to_text()
    /// }
    /// ```
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// Shows the router's canister.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::Client;
    ///
    /// fn tell<T: Transport>(client: &Client<T>) {
    ///     println!("router {}", client.router());
    /// }
    /// ```
    pub fn router(&self) -> Principal {
        self.router
    }

    /// Stores a value and tells the record's new version. One longer than 1 MiB is uploaded chunk by chunk, as
    /// [`Client::put_large`] does without having all of it in memory.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, Put, WriteError};
    ///
    /// async fn greet<T: Transport>(client: &Client<T>) -> Result<u64, WriteError<Put>> {
    ///     let reply = client.put(Put::new("greeting", "hello").if_absent()).await?;
    ///     Ok(reply.version.0)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// That it wasn't done, and why; or that nobody knows, see [`Client::settle`].
    pub async fn put(&self, put: Put) -> Result<PutReply, WriteError<Put>> {
        if put.large().is_some() { self.put_in_chunks(put).await } else { self.write_one(put).await }
    }

    /// Removes a record and tells the version that it had.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, Delete, WriteError};
    ///
    /// async fn forget<T: Transport>(client: &Client<T>) -> Result<bool, WriteError<Delete>> {
    ///     let reply = client.delete(Delete::new("greeting")).await?;
    ///     Ok(reply.deleted.is_some())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `put`.
    pub async fn delete(&self, delete: Delete) -> Result<DeleteReply, WriteError<Delete>> {
        self.write_one(delete).await
    }

    /// Reads the newest record under `key`; `None` when there is none.
    ///
    /// The answer is agreed on by the subnet, so it takes as long as a write. A value longer than 1 MiB is read chunk by
    /// chunk, and has to fit the caller's memory; [`Client::get_large`] hands it on as it comes.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, NotDone};
    ///
    /// async fn greeting<T: Transport>(client: &Client<T>) -> Result<Option<Vec<u8>>, NotDone> {
    ///     Ok(client.get("greeting").await?.map(|record| record.value.into_vec()))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Record>, NotDone> {
        self.read_whole(key.as_ref(), Reading::Agreed).await
    }

    /// Reads the record under `key` from one replica: faster and free, but possibly a moment old, and only as honest as
    /// that replica. In a canister, which can't, it is [`Client::get`].
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, NotDone};
    ///
    /// async fn glance<T: Transport>(client: &Client<T>) -> Result<bool, NotDone> {
    ///     Ok(client.get_query("greeting").await?.is_some())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub async fn get_query(&self, key: impl AsRef<[u8]>) -> Result<Option<Record>, NotDone> {
        let reading = if self.transport.can_query_composite() { Reading::OneReplica } else { Reading::Agreed };
        self.read_whole(key.as_ref(), reading).await
    }

    /// Reads the record under `key` as [`Client::get`] and [`Client::get_query`] do, but no value longer than 1 MiB: that is
    /// answered [`Reason::AskAgain`], with its length, for [`Client::get_large`].
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, NotDone, Reason};
    ///
    /// async fn length<T: Transport>(client: &Client<T>) -> Result<Option<u64>, NotDone> {
    ///     match client.get_record("film", false).await {
    ///         Err(NotDone { reason: Reason::AskAgain { bytes } }) => Ok(Some(bytes)),
    ///         record => Ok(record?.map(|record| record.value.len() as u64)),
    ///     }
    /// }
    /// ```
    pub async fn get_record(&self, key: impl AsRef<[u8]>, one_replica: bool) -> Result<Option<Record>, NotDone> {
        let one_replica = one_replica && self.transport.can_query_composite();
        let reading = if one_replica { Reading::OneReplica } else { Reading::Agreed };
        self.read_one(key.as_ref(), None, reading).await
    }

    /// Reads everything about the record under `key` but its value: `value` is empty, `value_bytes` tells its length.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, NotDone};
    ///
    /// async fn length<T: Transport>(client: &Client<T>) -> Result<Option<u64>, NotDone> {
    ///     Ok(client.get_without_value("greeting").await?.and_then(|record| record.value_bytes))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub async fn get_without_value(&self, key: impl AsRef<[u8]>) -> Result<Option<Record>, NotDone> {
        self.read_one(key.as_ref(), Some(false), Reading::Agreed).await
    }

    /// Finds out what became of a write whose answer was lost, by sending the same operation again: if it was done, this
    /// tells what it did then, and otherwise it is done now. It is never done twice.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, Put, SettleError, Unknown};
    ///
    /// async fn settle<T: Transport>(client: &Client<T>, unknown: Unknown<Put>) {
    ///     match client.settle(unknown).await {
    ///         Ok(reply) => println!("done, as version {}", reply.version.0),
    ///         Err(SettleError::NotDone(not_done)) => println!("{not_done}"),
    ///         Err(SettleError::Unknown(_)) => println!("no answer again: settle it later"),
    ///         Err(SettleError::TooLate(late)) => println!("read {:?} to see", late.write.key()),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// That it was not done and never will be; that again no answer came; or that it was issued more than 15 minutes ago,
    /// so that nobody remembers.
    pub async fn settle<W: Write>(&self, unknown: Unknown<W>) -> Result<W::Done, SettleError<W>> {
        let mut results = self.settle_many(vec![unknown]).await;
        results.pop().expect("INVARIANT: one result per unknown write")
    }

    /// Settles several writes at once. Writes that were sent in one message are sent in one message again.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, Put, Unknown};
    ///
    /// async fn left<T: Transport>(client: &Client<T>, unknown: Vec<Unknown<Put>>) -> usize {
    ///     client.settle_many(unknown).await.iter().filter(|result| result.is_err()).count()
    /// }
    /// ```
    pub async fn settle_many<W: Write>(&self, unknown: Vec<Unknown<W>>) -> Vec<Result<W::Done, SettleError<W>>> {
        // Of large values each is a message of its own, and its upload can be gone on with.
        let mut results: Vec<Option<Result<W::Done, SettleError<W>>>> = unknown.iter().map(|_| None).collect();
        let now = self.now();
        // Messages in the order of their first write, with the results that their items are for.
        let mut messages: Vec<Asked<W>> = Vec::new();
        for (result, unknown) in unknown.into_iter().enumerate() {
            if unknown.is_too_late(now) {
                results[result] = Some(Err(too_late(&unknown.message, unknown.place)));
                continue;
            }
            if unknown.write().large().is_some() {
                results[result] = Some(self.settle_upload(unknown).await);
                continue;
            }
            match messages.iter_mut().find(|(message, _)| Arc::ptr_eq(message, &unknown.message)) {
                Some((_, items)) => items.push((unknown.place, result)),
                None => messages.push((unknown.message, vec![(unknown.place, result)])),
            }
        }
        for (result, settled) in self.settle_messages(messages).await {
            results[result] = Some(settled);
        }
        results.into_iter().map(|result| result.expect("INVARIANT: one result per unknown write")).collect()
    }

    async fn put_in_chunks(&self, put: Put) -> Result<PutReply, WriteError<Put>> {
        check_key(put.key()).map_err(|reason| WriteError::NotDone(reason.into()))?;
        let message = Message::new(self.transport.draw(), self.now(), vec![put]);
        self.upload(Arc::new(message)).await
    }

    /// Uploads the value of the put that is a message, under the operation's id.
    async fn upload<W: Write>(&self, message: Arc<Message<W>>) -> Result<W::Done, WriteError<W>> {
        let put = message.write(0).large().expect("INVARIANT: only large puts are uploaded");
        let id = message.operation.id.as_slice().try_into().expect("INVARIANT: operations have ids of 16 bytes");
        let mut large = LargePut::new(put.key(), UploadId(id), put.value().len() as u64);
        (large.precondition, large.time_to_live_milliseconds) = (put.precondition, put.time_to_live_milliseconds);
        match self.put_large(&large, &mut put.value()).await {
            Ok(reply) => Ok(W::done_of_put(reply).expect("INVARIANT: only puts are uploaded")),
            Err(LargeError::NotDone(not_done)) => Err(WriteError::NotDone(not_done)),
            Err(LargeError::Unknown { reason } | LargeError::Local { reason }) => {
                Err(WriteError::Unknown(Unknown { message: message.clone(), place: 0, reason, is_too_old: false }))
            }
        }
    }

    async fn settle_upload<W: Write>(&self, unknown: Unknown<W>) -> Result<W::Done, SettleError<W>> {
        self.upload(unknown.message).await.map_err(|error| match error {
            WriteError::NotDone(not_done) => SettleError::NotDone(not_done),
            WriteError::Unknown(unknown) => SettleError::Unknown(unknown),
        })
    }

    /// Reads a record, and a large value with it.
    async fn read_whole(&self, key: &[u8], reading: Reading) -> Result<Option<Record>, NotDone> {
        for _ in 1..WHOLE_READINGS_MAX {
            let read = self.read_one(key, None, reading).await;
            if !matches!(read, Err(NotDone { reason: Reason::AskAgain { .. } })) {
                return read;
            }
            let mut value = Vec::new();
            match self.get_large(key, WINDOW, &mut value).await {
                Ok(Some(LargeRecord { version, expires_at_nanoseconds, .. })) => {
                    return Ok(Some(Record {
                        value: value.into(),
                        version,
                        expires_at_nanoseconds,
                        value_bytes: None,
                    }));
                }
                // Replaced by a record meanwhile.
                Ok(None) => {}
                Err(LargeError::NotDone(not_done)) => return Err(not_done),
                Err(other) => return Err(Reason::NoAnswer { message: other.to_string() }.into()),
            }
        }
        self.read_one(key, None, reading).await
    }

    async fn write_one<W: Write>(&self, write: W) -> Result<W::Done, WriteError<W>> {
        write.check().map_err(|reason| WriteError::NotDone(reason.into()))?;
        let mut results = self.write_all(vec![write]).await;
        results.pop().expect("INVARIANT: one result per write")
    }

    /// Tells the service's time, as far as it is known.
    pub(crate) fn now(&self) -> u64 {
        self.clock.service_time(self.transport.now_nanoseconds())
    }
}

/// Who answers a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Agreed,
    OneReplica,
}

/// Says that a write of a message can't be settled any more.
pub(crate) fn too_late<W: Write>(message: &Message<W>, place: usize) -> SettleError<W> {
    SettleError::TooLate(TooLate { write: message.write(place).clone() })
}

/// Checks that no key comes twice.
pub(crate) fn check_keys<'a>(keys: impl Iterator<Item = &'a [u8]>) -> Result<(), NotDone> {
    let mut seen = std::collections::BTreeMap::new();
    for (second, key) in keys.enumerate() {
        if let Some(first) = seen.insert(key, second) {
            return Err(crate::reason::Reason::KeyTwice { first, second }.into());
        }
    }
    Ok(())
}

/// Names the item that can't be accepted.
pub(crate) fn check_items<I>(
    items: &[I],
    check: impl Fn(&I) -> Result<(), crate::reason::Reason>,
) -> Result<(), NotDone> {
    for (index, item) in items.iter().enumerate() {
        check(item).map_err(|reason| crate::reason::Reason::Item { index, reason: Box::new(reason) })?;
    }
    Ok(())
}
