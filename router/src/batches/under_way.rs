//! A batch on its way to the shards. Items of a shard that doesn't serve them any more are sent again, as single
//! operations are: what a shard refuses so it hasn't run.

use std::collections::BTreeMap;

use candid::Principal;
use canopy_types::api::Refusal;
use canopy_types::shard::Answer;
use canopy_types::wire::ApplyRef;
use canopy_types::wire::batch::ANSWER_BYTES_MAX;

use super::answers::Part;
use super::division::PartOfBatch;
use crate::calls::at_once::{self, Answered};
use crate::calls::{self, Attempts, Deadline, HOPS_MAX, Request, ask_next};
use crate::refusal::{Failure, heard};
use crate::state::OpenCall;

#[cfg(test)]
mod tests;

/// A part, and the call that takes it to a shard.
type Sending = (PartOfBatch, Attempts);

/// A batch of which calls are open.
pub struct BatchUnderWay<F> {
    deadline: Deadline,
    /// What is answered. Where an item is in several, the last one counts.
    parts: Vec<Part>,
    hops: u32,
    answer: F,
}

impl<F: FnOnce(Vec<Part>) + 'static> BatchUnderWay<F> {
    /// Begins a batch, which `answer` replies to once nothing of it is open any more.
    pub fn new(answer: F) -> Self {
        Self { deadline: Deadline::of_message(), parts: Vec::new(), hops: 0, answer }
    }

    /// Admits and sends the parts of the batch.
    ///
    /// # Errors
    ///
    /// `Busy`; nothing was sent, and nobody replies.
    pub fn send(self, sendings: Vec<Sending>) -> Result<(), Refusal> {
        let open = admit(&sendings)?;
        self.send_admitted(sendings, open);
        Ok(())
    }

    fn send_admitted(self, sendings: Vec<Sending>, open: Vec<OpenCall>) {
        let deadline = self.deadline;
        let (parts, attempts): (Vec<PartOfBatch>, Vec<Attempts>) = sendings.into_iter().unzip();
        at_once::send(attempts.into_iter().zip(open), deadline, move |answered| {
            self.hear(parts.into_iter().zip(answered).collect());
        });
    }

    /// Takes what became of all that was sent, and sends again what may be served elsewhere, or by now.
    fn hear(mut self, answered: Vec<(PartOfBatch, Answered)>) {
        let mut again = Vec::new();
        for (part, answered) in answered {
            if self.hops < HOPS_MAX {
                again.append(&mut sent_again(&part, &answered));
            }
            self.parts.push(Part { shard: part.shard, places: part.places, reply: answered.answer });
        }
        if !again.is_empty()
            && let Ok(open) = admit(&again)
        {
            self.hops += 1;
            return self.send_admitted(again, open);
        }
        (self.answer)(self.parts);
    }
}

fn admit(sendings: &[Sending]) -> Result<Vec<OpenCall>, Refusal> {
    calls::admit(sendings.iter().map(|(_, attempts)| &attempts.request))
}

/// Makes calls of the items that the asked shard doesn't serve: one for each shard that is to be asked next.
fn sent_again(part: &PartOfBatch, answered: &Answered) -> Vec<Sending> {
    let Answered { request, answer: Ok(reply) } = answered else { return Vec::new() };
    if !request.is_kept() {
        return Vec::new();
    }
    let (Ok(answers), Some(batch)) =
        (calls::read_answer::<Vec<Answer>>(part.shard, reply), ApplyRef::read(&request.arguments))
    else {
        return Vec::new();
    };
    if answers.len() != part.places.len() || answers.len() != batch.items.len() {
        return Vec::new();
    }
    // Of the call, and so the same for all its items.
    let mut unknown_before = None;
    let mut next: BTreeMap<Principal, Vec<usize>> = BTreeMap::new();
    for (at, answer) in answers.into_iter().enumerate() {
        let Some(error) = answer.into_error() else { continue };
        if let Err(Failure::Elsewhere { shard, whereabouts, unknown }) =
            reply.settle::<()>(Err(heard(part.shard, error)))
            && let Some(shard) = ask_next(shard, &whereabouts)
        {
            unknown_before = unknown.map(|unknown| *unknown);
            next.entry(shard).or_default().push(at);
        }
    }
    let chosen_in_all: u64 = next.values().map(|chosen| chosen.len() as u64).sum();
    let sending = |(shard, chosen): (Principal, Vec<usize>)| {
        let items = chosen.len() as u64;
        // What this reply leaves of its share, so that all that is kept for the batch stays within it, or nearly so.
        let share = |bytes_max: u64| bytes_max.saturating_sub(reply.bytes.len() as u64) * items / chosen_in_all;
        let arguments = ApplyRef {
            caller: batch.caller,
            operation: batch.operation,
            reply_bytes_max: batch.reply_bytes_max.map(|max| share(max).max(items * ANSWER_BYTES_MAX as u64)),
            items: chosen.iter().map(|&at| batch.items[at]).collect(),
        };
        let places = chosen.iter().map(|&at| part.places[at]).collect();
        let request = Request { shard, arguments: arguments.write(), ..*request };
        (PartOfBatch { shard, places }, Attempts::after(request, unknown_before.clone()))
    };
    next.into_iter().map(sending).collect()
}
