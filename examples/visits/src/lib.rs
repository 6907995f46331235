//! An application canister that stores its data in Canopy: it counts the visits of pages.
//!
//! It holds no data of its own, so an upgrade has nothing to carry over but where the router is.

use std::cell::RefCell;
use std::rc::Rc;

use candid::{CandidType, Principal};
use canopy_client::transport::CanisterTransport;
use canopy_client::{
    Advice, Client, Delete, NotDone, Put, Reason, ScanOptions, SettleError, Unknown, Write, WriteError,
};
use serde::{Deserialize, Serialize};

/// Times that a count is read and written again because somebody else counted in between.
const COUNTING_ATTEMPTS_MAX: u32 = 5;

/// Why a visit wasn't counted, or may not have been.
#[derive(CandidType, Serialize, Deserialize)]
enum VisitError {
    TryAgain { after_milliseconds: u64 },
    Contended,
    Refused { reason: String },
    Unknown,
}

/// A page and its visits.
#[derive(CandidType, Serialize, Deserialize)]
struct Page {
    page: String,
    visits: u64,
}

thread_local! {
    static CLIENT: RefCell<Option<Rc<Client<CanisterTransport>>>> = const { RefCell::new(None) };
}

#[ic_cdk::init]
fn init(router: Principal) {
    CLIENT.set(Some(Rc::new(Client::new(CanisterTransport, router))));
}

#[ic_cdk::post_upgrade]
fn post_upgrade(router: Principal) {
    init(router);
}

/// Gives the client. One for all messages: it remembers the routing table.
fn client() -> Rc<Client<CanisterTransport>> {
    CLIENT.with_borrow(|client| client.clone()).expect("INVARIANT: installing and upgrading make the client")
}

#[ic_cdk::update]
async fn visit(page: String) -> Result<u64, VisitError> {
    let client = client();
    for _ in 0..COUNTING_ATTEMPTS_MAX {
        // Written only if the record is still what was read, so no visit is lost to another one at the same time.
        let (put, visits) = match client.get(&page).await? {
            None => (Put::new(page.as_str(), encode(1)).if_absent(), 1),
            Some(record) => {
                let visits = decode(&record.value) + 1;
                (Put::new(page.as_str(), encode(visits)).if_version(record.version), visits)
            }
        };
        match done(&client, client.put(put).await).await {
            Ok(_) => return Ok(visits),
            Err(Failure::NotDone(NotDone { reason: Reason::PreconditionFailed { .. } })) => {}
            Err(failure) => return Err(failure.into()),
        }
    }
    Err(VisitError::Contended)
}

#[ic_cdk::update]
async fn visits(page: String) -> Result<u64, VisitError> {
    let record = client().get(&page).await?;
    Ok(record.map_or(0, |record| decode(&record.value)))
}

#[ic_cdk::update]
async fn import(pages: Vec<Page>) -> Result<u64, VisitError> {
    let puts = pages.into_iter().map(|page| Put::new(page.page, encode(page.visits)));
    let results = client().put_many(puts.collect()).await?;
    Ok(results.iter().filter(|result| result.is_ok()).count() as u64)
}

#[ic_cdk::update]
async fn pages() -> Result<Vec<Page>, VisitError> {
    let client = client();
    let mut scan = client.scan(ScanOptions::default());
    let mut pages = Vec::new();
    while let Some(record) = scan.next().await? {
        let page = String::from_utf8_lossy(&record.key).into_owned();
        pages.push(Page { page, visits: decode(&record.value) });
    }
    Ok(pages)
}

#[ic_cdk::update]
async fn forget(page: String) -> Result<bool, VisitError> {
    let client = client();
    let reply = done(&client, client.delete(Delete::new(page)).await).await?;
    Ok(reply.deleted.is_some())
}

/// Why a write has no reply after it was settled, if that was needed.
enum Failure {
    NotDone(NotDone),
    Unknown,
}

/// Settles a write whose answer was lost, once. A timer could do that again later, for 15 minutes.
async fn done<W: Write>(
    client: &Client<CanisterTransport>,
    result: Result<W::Done, WriteError<W>>,
) -> Result<W::Done, Failure> {
    let unknown: Unknown<W> = match result {
        Ok(done) => return Ok(done),
        Err(WriteError::NotDone(not_done)) => return Err(Failure::NotDone(not_done)),
        Err(WriteError::Unknown(unknown)) => unknown,
    };
    client.settle(unknown).await.map_err(|error| match error {
        SettleError::NotDone(not_done) => Failure::NotDone(not_done),
        SettleError::Unknown(_) | SettleError::TooLate(_) => Failure::Unknown,
    })
}

impl From<Failure> for VisitError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotDone(not_done) => not_done.into(),
            Failure::Unknown => VisitError::Unknown,
        }
    }
}

impl From<NotDone> for VisitError {
    fn from(not_done: NotDone) -> Self {
        match not_done.advice() {
            Advice::TryAgain { after_milliseconds } => VisitError::TryAgain { after_milliseconds },
            Advice::AskDifferently | Advice::AskAdministrator => VisitError::Refused { reason: not_done.to_string() },
        }
    }
}

fn encode(visits: u64) -> [u8; 8] {
    visits.to_le_bytes()
}

/// Reads a count; 0 if something else is stored there.
fn decode(value: &[u8]) -> u64 {
    value.try_into().map_or(0, u64::from_le_bytes)
}
