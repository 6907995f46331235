//! The client library and values longer than a record.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use candid::Principal;
use canopy_client::transport::{CallError, CannotWait, PocketTransport, Transport, block_on};
use canopy_client::{
    Client, Delete, LargeError, LargePut, LargeRecord, NotDone, Put, Reason, RetryPolicy, Routing, Sink, Source,
    UploadFault, UploadState, WINDOW, WriteError,
};
use canopy_types::limits::CHUNK_BYTES;
use canopy_types::transfer::{TransferEnd, TransferStage};
use canopy_types::{ShardIndex, TransferId, UploadId};

use crate::cluster::{Cluster, Pace, T};
use crate::people::writer;
use crate::split::{FIRST, filled_with, make_spare, split, stage, wait_for_end};

/// Passes calls on, counts them by method, and can lose replies.
struct Counted {
    inner: PocketTransport,
    calls: RefCell<BTreeMap<(String, bool), u32>>,
    router: Principal,
    /// The method of which every so many-th reply is lost, from the first on.
    lose: Cell<Option<(&'static str, u32)>>,
}

impl Counted {
    fn count(&self, method: &str, direct: bool) -> u32 {
        self.calls.borrow().get(&(method.to_string(), direct)).copied().unwrap_or(0)
    }
}

impl Transport for Counted {
    fn caller(&self) -> Principal {
        self.inner.caller()
    }

    async fn update(&self, canister: Principal, method: &str, arguments: &[u8]) -> Result<Vec<u8>, CallError> {
        let count = {
            let mut calls = self.calls.borrow_mut();
            let count = calls.entry((method.to_string(), canister != self.router)).or_default();
            *count += 1;
            *count
        };
        let reply = self.inner.update(canister, method, arguments).await;
        match self.lose.get() {
            Some((lost, every)) if lost == method && count % every == 1 % every => {
                Err(CallError::Unknown { message: "lost by the test".to_string() })
            }
            _ => reply,
        }
    }

    async fn query(&self, canister: Principal, method: &str, arguments: &[u8]) -> Result<Vec<u8>, CallError> {
        self.inner.query(canister, method, arguments).await
    }

    fn can_query_composite(&self) -> bool {
        true
    }

    fn now_nanoseconds(&self) -> u64 {
        self.inner.now_nanoseconds()
    }

    fn draw(&self) -> [u8; 16] {
        self.inner.draw()
    }

    async fn wait(&self, milliseconds: u64) -> Result<(), CannotWait> {
        self.inner.wait(milliseconds).await
    }
}

fn client(cluster: &Cluster, routing: Routing) -> Client<Counted> {
    let inner = PocketTransport::new(cluster.pic.clone(), writer());
    let transport = Counted { inner, calls: RefCell::default(), router: cluster.router, lose: Cell::new(None) };
    Client::new(transport, cluster.router).with_routing(routing)
}

fn value(seed: u8, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at / 3) as u8 ^ seed ^ (at >> 17) as u8).collect()
}

/// A source that ends too early.
struct Cut<'v> {
    value: &'v [u8],
    left: u32,
}

impl Source for Cut<'_> {
    fn read(&mut self, bytes: usize) -> Result<Vec<u8>, String> {
        self.left = self.left.checked_sub(1).ok_or("the disk is gone")?;
        self.value.read(bytes)
    }
}

#[test]
fn what_is_put_is_got_however_long_it_is() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    for routing in [Routing::Direct, Routing::ThroughRouter] {
        let client = client(&cluster, routing);
        let before = cluster.get(writer(), b"key").expect("a writer may read");
        assert_eq!(before, None);
        for bytes in [CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 0] {
            let value = value(bytes as u8, bytes);
            let version = block_on(client.put(Put::new("key", value.clone()))).expect("done").version;
            let record = block_on(client.get("key")).expect("answered").expect("it was put");
            assert!(record.value == value && record.version == version && record.value_bytes.is_none(), "{bytes}");
            let queried = block_on(client.get_query("key")).expect("answered").expect("it was put");
            assert!(queried.value == value);
            let length = block_on(client.get_without_value("key")).expect("answered").expect("it was put");
            assert_eq!((length.value.len(), length.value_bytes), (0, Some(bytes as u64)));
        }
        let large = value(9, 2 * CHUNK_BYTES);
        let absent = block_on(client.put(Put::new("key", large.clone()).if_absent()));
        let refused =
            |error| matches!(error, WriteError::NotDone(NotDone { reason: Reason::PreconditionFailed { .. } }));
        assert!(refused(absent.expect_err("something is there")));
        block_on(client.delete(Delete::new("key"))).expect("done");
        block_on(client.put(Put::new("key", large).if_absent())).expect("nothing is there");
        block_on(client.delete(Delete::new("key"))).expect("done");
        let direct = routing == Routing::Direct;
        assert!(client.transport().count("put_chunk", direct) > 0 && client.transport().count("get_chunk", direct) > 0);
        assert_eq!(client.transport().count("put_chunk", !direct), 0);
    }
}

#[test]
fn lost_replies_neither_lose_nor_change_a_large_value() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    let value = value(1, 5 * CHUNK_BYTES + 1);
    for method in ["begin_upload", "upload_status", "put_chunk", "commit_upload", "get_manifest", "get_chunk"] {
        let client = client(&cluster, Routing::Direct);
        client.transport().lose.set(Some((method, 2)));
        let version = block_on(client.put(Put::new(method, value.clone()))).expect("done").version;
        let record = block_on(client.get(method)).expect("answered").expect("it was put");
        assert!(record.value == value && record.version == version, "{method}");
    }
}

#[test]
fn a_commit_whose_answer_was_lost_is_settled_later() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let policy = RetryPolicy { attempts_max: 1, ..RetryPolicy::default() };
    let client = client(&cluster, Routing::Direct).with_retry_policy(policy);
    client.transport().lose.set(Some(("commit_upload", 1)));
    let value = value(1, CHUNK_BYTES + 7);
    let unknown = match block_on(client.put(Put::new("key", value.clone()).if_absent())) {
        Err(WriteError::Unknown(unknown)) => unknown,
        other => panic!("{other:?}"),
    };
    client.transport().lose.set(None);
    let chunks = client.transport().count("put_chunk", true);
    let version = block_on(client.settle(unknown)).expect("it was done").version;
    assert_eq!(client.transport().count("put_chunk", true), chunks, "no chunk is sent again");
    let record = block_on(client.get("key")).expect("answered").expect("it was put");
    assert!(record.value == value && record.version == version);
}

#[test]
fn an_upload_that_was_cut_off_goes_on_where_it_ended() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    let client = client(&cluster, Routing::Direct);
    let value = value(1, 6 * CHUNK_BYTES);
    let put = LargePut { window: 1, ..LargePut::new("key", UploadId([5; 16]), value.len() as u64) };
    let cut = block_on(client.put_large(&put, &mut Cut { value: &value, left: 4 }));
    assert_eq!(cut, Err(LargeError::Local { reason: "the disk is gone".to_string() }));
    let status = block_on(client.upload_status(b"key", put.upload)).expect("it is open");
    assert_eq!(status.state, UploadState::Open);
    let stored = (0..6).filter(|&index| status.has(index)).count() as u32;
    assert!((3..=4).contains(&stored), "{stored}");
    let sent = client.transport().count("put_chunk", true);
    let version = block_on(client.put_large(&put, &mut &value[..])).expect("done").version;
    assert_eq!(client.transport().count("put_chunk", true), sent + 6 - stored);
    assert_eq!(block_on(client.put_large(&put, &mut &value[..])).expect("the same again").version, version);
    let record = block_on(client.get("key")).expect("answered").expect("it was put");
    assert!(record.value == value);
    // Another value under the name of this upload.
    let other: Vec<u8> = value.iter().map(|byte| byte ^ 1).collect();
    let refused = block_on(client.put_large(&put, &mut &other[..]));
    let reason = |refused| match refused {
        Err(LargeError::NotDone(NotDone { reason })) => reason,
        other => panic!("{other:?}"),
    };
    assert!(matches!(reason(refused), Reason::Upload(UploadFault::WrongDigest { .. })));
    let published = block_on(client.abort_upload(b"key", put.upload)).expect_err("it is published");
    assert_eq!(published.reason, Reason::Upload(UploadFault::Published { version }));
}

#[test]
fn splits_are_followed_while_a_value_is_uploaded_and_read() {
    let cluster = Cluster::builder().initial_shards(1).ready();
    let client = client(&cluster, Routing::Direct);
    let value = value(1, 6 * CHUNK_BYTES);
    let put = LargePut { window: 2, ..LargePut::new("key", UploadId([5; 16]), value.len() as u64) };
    let cut = block_on(client.put_large(&put, &mut Cut { value: &value, left: 3 }));
    assert!(matches!(cut, Err(LargeError::Local { .. })));
    let id = split(&cluster, ShardIndex(0), None).expect("it may be split");
    wait_for_end(&cluster, id);
    block_on(client.put_large(&put, &mut &value[..])).expect("done");
    let mut read = vec![];
    block_on(client.get_large("key", WINDOW, &mut read)).expect("answered").expect("it was put");
    assert!(read == value);
}

/// A source and a sink under which the first shard is split from the second piece on, a round per piece.
struct Splitting<'s> {
    cluster: &'s Cluster,
    unread: &'s [u8],
    written: Vec<u8>,
    pieces: u32,
    split: Option<TransferId>,
    /// Pieces that came while the range moved.
    while_moving: u32,
}

impl<'s> Splitting<'s> {
    fn new(cluster: &'s Cluster, unread: &'s [u8]) -> Self {
        make_spare(cluster);
        Self { cluster, unread, written: vec![], pieces: 0, split: None, while_moving: 0 }
    }

    fn piece(&mut self) {
        self.pieces += 1;
        if self.pieces == 2 {
            self.split = Some(split(self.cluster, FIRST, None).expect("it may be split"));
        }
        let moves = |id| stage(&self.cluster.status(), id) == TransferStage::Moving;
        self.while_moving += u32::from(self.split.is_some_and(moves));
        self.cluster.turn(Pace::ROUND_BY_ROUND);
    }

    /// Waits for the end of the split, which some pieces must have met.
    fn end(self) -> Vec<u8> {
        assert!(self.while_moving > 0, "the pieces and the transfer met");
        assert_eq!(wait_for_end(self.cluster, self.split.expect("it was begun")), TransferEnd::Done);
        self.written
    }
}

impl Source for Splitting<'_> {
    fn read(&mut self, bytes: usize) -> Result<Vec<u8>, String> {
        self.piece();
        self.unread.read(bytes)
    }
}

impl Sink for Splitting<'_> {
    fn write(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        self.piece();
        self.written.write(bytes)
    }

    fn restart(&mut self) -> Result<(), String> {
        Err("nothing was replaced".to_string())
    }
}

#[test]
fn a_value_is_uploaded_and_read_while_its_range_moves() {
    let (cluster, model) = filled_with(Cluster::builder().initial_shards(1).shard_cycles(10 * T).ready(), 100, 200_000);
    let client = client(&cluster, Routing::Direct);
    let value = value(1, 12 * CHUNK_BYTES);
    let put = LargePut { window: 1, ..LargePut::new("key", UploadId([5; 16]), value.len() as u64) };
    let mut source = Splitting::new(&cluster, &value);
    block_on(client.put_large(&put, &mut source)).expect("done");
    source.end();
    let mut sink = Splitting::new(&cluster, &[]);
    block_on(client.get_large("key", 1, &mut sink)).expect("answered").expect("it was put");
    assert!(sink.end() == value);
    let mut read = vec![];
    block_on(client.get_large("key", WINDOW, &mut read)).expect("answered").expect("it was put");
    assert!(read == value);
    for (key, value) in &model {
        assert!(cluster.load(key).expect("it was put").value.as_slice() == value);
    }
}

#[test]
fn ranges_of_bytes_are_read_across_chunks() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    let client = client(&cluster, Routing::Direct);
    let value = value(3, 2 * CHUNK_BYTES + 100);
    block_on(client.put(Put::new("key", value.clone()))).expect("done");
    let manifest = block_on(client.manifest(b"key")).expect("answered").expect("it is large");
    let (chunk, end) = (CHUNK_BYTES as u64, value.len() as u64);
    let within = [0..1, 5..17, chunk - 3..chunk, end - 1..end];
    let across = [chunk - 3..chunk + 3, chunk..2 * chunk, 10..end - 10, 0..end];
    for range in within.into_iter().chain(across) {
        let read = block_on(client.range(b"key", &manifest, range.clone())).expect("answered");
        assert!(read == value[range.start as usize..range.end as usize], "{range:?}");
    }
    let read = |range| block_on(client.range(b"key", &manifest, range)).expect("answered");
    assert_eq!(read(end - 2..u64::MAX), value[value.len() - 2..], "there is no more");
    assert_eq!((read(end..end + 5), read(7..7), read(u64::MAX - 1..u64::MAX)), (vec![], vec![], vec![]));
    // An old manifest names the old value, for a while.
    block_on(client.put(Put::new("key", "small"))).expect("done");
    assert_eq!(read(chunk - 1..chunk + 1), value[CHUNK_BYTES - 1..CHUNK_BYTES + 1]);
}

/// Has something happen when the first bytes come.
struct Disturbed<'d> {
    bytes: Vec<u8>,
    disturb: Option<&'d dyn Fn()>,
    restarts: u32,
}

impl Sink for Disturbed<'_> {
    fn write(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        self.disturb.take().into_iter().for_each(|disturb| disturb());
        self.bytes.write(bytes)
    }

    fn restart(&mut self) -> Result<(), String> {
        self.restarts += 1;
        self.bytes.restart()
    }
}

#[test]
fn a_value_that_is_replaced_while_it_is_read_is_read_whole_or_anew() {
    let cluster = Cluster::builder().initial_shards(2).ready();
    let client = client(&cluster, Routing::Direct);
    let (old, new) = (value(1, 4 * CHUNK_BYTES), value(2, 3 * CHUNK_BYTES));
    let put = |value: &[u8]| block_on(client.put(Put::new("key", value))).expect("done").version;
    let read = |disturb: &dyn Fn()| {
        let mut sink = Disturbed { bytes: vec![], disturb: Some(disturb), restarts: 0 };
        let record = block_on(client.get_large("key", 1, &mut sink)).expect("answered");
        (record.map(|record: LargeRecord| record.version), sink.bytes, sink.restarts)
    };
    let version = put(&old);
    let replaced = Cell::new(None);
    let (found, bytes, restarts) = read(&|| replaced.set(Some(put(&new))));
    assert!((found, restarts) == (Some(version), 0) && bytes == old, "the chunks of the old value stay for a while");
    let version = replaced.get().expect("it was replaced");
    let collect = || {
        for _ in 0..25 {
            cluster.turn(Pace { time: Duration::from_secs(60), rounds: 5 });
        }
    };
    let (found, bytes, restarts) = read(&|| {
        replaced.set(Some(put(&old)));
        collect();
    });
    assert!(found > Some(version) && found == replaced.get() && restarts == 1 && bytes == old);
    let (found, _, restarts) = read(&|| {
        cluster.store(b"key", b"small");
        collect();
    });
    assert_eq!((found, restarts), (None, 1), "a record is no large value");
    assert_eq!(block_on(client.get("key")).expect("answered").expect("it was put").value.as_slice(), b"small");
}
