//! Clients whose rights change during a run: an administrator grants them single keys, and revokes that.

use candid::Principal;
use canopy_simulator::instance::MessageId;
use canopy_types::codec::{decode, encode};
use canopy_types::roles::{Grant, GrantResult, RevokeError, RevokeResult, Role};
use serde_bytes::ByteBuf;

use crate::answers::{Impossible, read_reject};
use crate::case::{Case, stream};
use crate::draw::Draw;
use crate::history::{History, Moment, NotRun, Told};
use crate::network::Network;

/// Keys that guests are granted, at most: the first ones.
pub const GUESTS_KEYS_MAX: usize = 6;
/// Steps between two changes, on average, and until a refused one is sent again.
const CHANGE_STEPS: u64 = 3;

/// Something that an administrator did to a guest's rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub client: usize,
    pub key: usize,
    /// Given, or taken away.
    pub granted: bool,
    pub begun: Moment,
    /// None while its answer is awaited.
    pub ended: Option<Moment>,
    /// The router said that it was done.
    pub certain: bool,
}

/// The guests' rights, and who changes them.
pub struct Guests {
    draw: Draw,
    clients: Vec<(usize, Principal)>,
    keys: usize,
    changes: Vec<Change>,
    open: Option<MessageId>,
    pub impossible: Option<Impossible>,
}

impl Guests {
    /// Makes guests of those clients of a case.
    pub fn new(case: &Case, clients: Vec<(usize, Principal)>) -> Self {
        Self {
            draw: Draw::new(case.seed, stream::GUESTS),
            clients,
            keys: case.keys.len().min(GUESTS_KEYS_MAX),
            changes: Vec::new(),
            open: None,
            impossible: None,
        }
    }

    /// Lists what was done, in the order in which it was begun.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Tells whether a client's rights change.
    pub fn contains(&self, client: usize) -> bool {
        self.clients.iter().any(|(guest, _)| *guest == client)
    }

    /// Reads the answer to the last change, and perhaps begins another one.
    pub fn step(&mut self, case: &Case, network: &mut Network, history: &mut History) {
        self.read_answer(network, history);
        let (guest, key) = (self.draw.below(self.clients.len() as u64), self.draw.below(self.keys as u64));
        let granted = self.draw.below(5) > 1;
        if self.draw.below(CHANGE_STEPS) == 0 && self.open.is_none() {
            self.begin(guest as usize, key as usize, granted, case, network, history);
        }
    }

    /// Gives every guest everything that guests are given, one after the other; tells whether that is done.
    pub fn restore(&mut self, case: &Case, network: &mut Network, history: &mut History) -> bool {
        self.read_answer(network, history);
        if self.open.is_some() {
            return false;
        }
        for guest in 0..self.clients.len() {
            for key in 0..self.keys {
                let client = self.clients[guest].0;
                let last = self.changes.iter().rfind(|change| change.client == client && change.key == key);
                if !last.is_some_and(|change| change.granted && change.certain) {
                    self.begin(guest, key, true, case, network, history);
                    return false;
                }
            }
        }
        true
    }

    fn begin(
        &mut self,
        guest: usize,
        key: usize,
        granted: bool,
        case: &Case,
        network: &mut Network,
        history: &mut History,
    ) {
        let (client, principal) = self.clients[guest];
        // Keys begin with their number, so a prefix of one byte is one key.
        let prefix = Some(ByteBuf::from(vec![case.keys[key][0]]));
        let arguments = encode(&Grant { grantee: Some(principal), role: Role::Writer, prefix });
        let method = if granted { "grant" } else { "revoke" };
        let begun = history.moment(network.round_nanos);
        if let Ok(message) = network.submit(network.administrator, network.router, method, arguments) {
            self.open = Some(message);
            self.changes.push(Change { client, key, granted, begun, ended: None, certain: false });
        }
    }

    fn read_answer(&mut self, network: &Network, history: &mut History) {
        let Some(answer) = self.open.as_ref().and_then(|message| network.answer(message)) else { return };
        self.open = None;
        let change = self.changes.last_mut().expect("a call is open only for the last change");
        let impossible = |text| Some(Impossible(format!("a legal change of roles was answered {text}")));
        match answer {
            Ok(reply) if change.granted => match decode::<GrantResult>(&reply) {
                Ok(Ok(())) => change.certain = true,
                other => self.impossible = impossible(format!("{other:?}")),
            },
            Ok(reply) => match decode::<RevokeResult>(&reply) {
                Ok(Ok(()) | Err(RevokeError::NoSuchGrant)) => change.certain = true,
                other => self.impossible = impossible(format!("{other:?}")),
            },
            Err(error) if read_reject(&error, true).told == Told::NotRun(NotRun::Refused) => {
                self.changes.pop();
                return;
            }
            Err(_) => {}
        }
        change.ended = Some(history.moment(network.instance.time_nanos()));
    }
}
