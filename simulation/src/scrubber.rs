//! An administrator who looks for what large values left behind, while everything may go wrong: what is merely under way
//! must not be found.

use canopy_simulator::instance::MessageId;
use canopy_types::api::scrub::{ScrubArguments, ScrubError, ScrubPage, ScrubResult};
use canopy_types::codec::{decode, encode};
use serde_bytes::ByteBuf;

use crate::answers::Impossible;
use crate::network::Network;

/// Steps between two pages.
const PAGE_STEPS: u64 = 40;

/// The administrator, and how far it is.
#[derive(Debug, Default)]
pub struct Scrubber {
    cursor: Option<ByteBuf>,
    open: Option<MessageId>,
    steps: u64,
    /// Pages that were answered while anything was there.
    pub pages: u64,
    pub impossible: Option<Impossible>,
}

impl Scrubber {
    /// Reads an answer, and asks for the next page now and then. Behind the last page it begins anew.
    pub fn step(&mut self, network: &mut Network) {
        self.steps += 1;
        if let Some(answer) = self.open.as_ref().and_then(|message| network.answer(message)) {
            self.open = None;
            // A call that was rejected is asked again.
            if let Ok(reply) = answer {
                self.read(&reply);
            }
        }
        if self.open.is_none() && self.steps.is_multiple_of(PAGE_STEPS) {
            let arguments = encode(&ScrubArguments { cursor: self.cursor.clone() });
            // Refused while the router is stopped; it is asked again.
            self.open = network.submit(network.administrator, network.router, "scrub", arguments).ok();
        }
    }

    fn read(&mut self, reply: &[u8]) {
        match read_page(reply) {
            Ok(Some(page)) => {
                self.pages += u64::from(page.uploads + page.chunks > 0);
                self.cursor = page.cursor;
            }
            Ok(None) => {}
            Err(impossible) => self.impossible = Some(impossible),
        }
    }
}

/// Reads a page, in which nothing may be found. None: it could not be answered now.
///
/// # Errors
/// Findings, or an answer that blames the arguments.
pub fn read_page(reply: &[u8]) -> Result<Option<ScrubPage>, Impossible> {
    match decode::<ScrubResult>(reply) {
        Ok(Ok(page)) if page.strays.is_empty() => Ok(Some(page)),
        Ok(Ok(page)) => Err(Impossible(format!("a scrub found {:?}", page.strays))),
        Ok(Err(ScrubError::NotReady { .. } | ScrubError::Busy { .. } | ScrubError::ShardUnavailable { .. })) => {
            Ok(None)
        }
        other => Err(Impossible(format!("a legal scrub was answered {other:?}"))),
    }
}
