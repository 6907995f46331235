//! What clients were told: noting it in the history, and what a page means for its scan.

use super::requests::Known;
use super::sending::Sent;
use super::{Current, SENDINGS_MAX, Workload, scans};
use crate::answers::{Answer, Heard, Method, Page};
use crate::case::Case;
use crate::checkers::rates::Use;
use crate::history::{Action, End, History, NotRun, Outcome, SendingId, Told};
use crate::network::Network;
use crate::tally::Happening;

impl Workload {
    /// Notes what one sending of a page was told, and decides whether the client goes on.
    pub(super) fn end_page(
        &mut self,
        sent: &Sent,
        heard: Heard,
        case: &Case,
        network: &Network,
        history: &mut History,
    ) {
        let client = self.requests[sent.request].client;
        let kind = match heard {
            Heard::Page(page) => {
                self.take_page(sent, page, case, network, history);
                None
            }
            Heard::All(answer) => {
                self.note_refused_page(sent, answer, case, network, history);
                Some(answer.kind)
            }
            Heard::Each(_) => unreachable!("only batches have many answers"),
        };
        if self.clients[client].current.is_none_or(|current| current.request != sent.request) {
            return;
        }
        let request = &mut self.requests[sent.request];
        let scan = request.scan.as_ref().expect("only scans have pages");
        let goes_on = match kind {
            None => !scan.is_over() && scan.pages < scans::PAGES_MAX,
            Some(_) => request.sent < SENDINGS_MAX,
        };
        if !goes_on {
            return self.rest(client);
        }
        let why = if kind.is_none() {
            request.sent = 0;
            request.arguments = scan.arguments(case);
            Happening::NextPage
        } else {
            Happening::PageAgain
        };
        let steps = self.draw_pause();
        self.clients[client].current = Some(Current { request: sent.request, again: Some((steps, why)) });
    }

    fn take_page(&mut self, sent: &Sent, page: Page, case: &Case, network: &Network, history: &mut History) {
        self.note_served(sent, 1, network);
        let request = &mut self.requests[sent.request];
        let (client, method) = (request.client, request.method);
        let scan = request.scan.as_mut().expect("only scans have pages");
        let said = match scan.take(page, &case.keys, &network.hashes) {
            Ok(said) => said,
            Err(impossible) => {
                self.impossible.get_or_insert(impossible);
                return;
            }
        };
        self.tally.note(match (sent.asked.direct, method) {
            (true, _) => Happening::PageOfShard,
            (false, Method::ScanQuery) => Happening::PageQueried,
            (false, _) => Happening::PageAnswered,
        });
        self.tally.note_if(scan.prefix.is_some(), Happening::PageOfPrefix);
        self.tally.note_if(scan.range.is_some(), Happening::PageOfRange);
        self.tally.note_if(scan.include_value == Some(false), Happening::PageOfKeys);
        self.tally.note_if(scan.is_over() && scan.pages > 1, Happening::ScanEnded);
        for (key, seen) in said {
            let told = Told::Done(Outcome::Got(seen));
            history.observe(client, key, sent.asked, network.instance.time_nanos(), told);
        }
    }

    fn note_refused_page(
        &mut self,
        sent: &Sent,
        answer: Answer,
        case: &Case,
        network: &Network,
        history: &mut History,
    ) {
        self.tally.note(answer.kind);
        let request = &self.requests[sent.request];
        let prefix = request.scan.as_ref().and_then(|scan| scan.prefix);
        // A guest may be refused all keys; whoever is none may read the first one too.
        let key = prefix.or((!case.guests.contains(&request.client)).then_some(0));
        if let (Told::NotRun(NotRun::Unauthorised), Some(key)) = (answer.told, key) {
            history.observe(request.client, key, sent.asked, network.instance.time_nanos(), answer.told);
        }
    }

    /// Notes what the router counted for certain.
    pub(super) fn note_use(&mut self, sent: &Sent, answers: &[Answer], network: &Network) {
        let done = answers.iter().filter(|answer| matches!(answer.told, Told::Done(_))).count();
        self.note_served(sent, done as u64, network);
    }

    fn note_served(&mut self, sent: &Sent, operations: u64, network: &Network) {
        let request = &self.requests[sent.request];
        if operations > 0 && !sent.asked.direct && !request.method.is_query() {
            self.uses.push(Use {
                client: request.client,
                sent: sent.asked.sent.nanos,
                answered: network.instance.time_nanos(),
                operations,
            });
        }
    }

    pub(super) fn note_batch(&mut self, sent: &Sent, answers: &[Answer]) {
        let of = |told: fn(Told) -> bool| answers.iter().filter(|answer| told(answer.told)).count();
        let done = of(|told| matches!(told, Told::Done(_)));
        if self.requests[sent.request].items.is_empty() || done == 0 {
            return;
        }
        let method = self.requests[sent.request].method;
        let unknown = of(|told| told == Told::MayRun);
        self.tally.note(match (sent.asked.direct, method) {
            (true, _) => Happening::ApplyAnswered,
            (false, Method::PutMany) => Happening::PutManyAnswered,
            (false, Method::DeleteMany) => Happening::DeleteManyAnswered,
            (false, _) => Happening::GetManyAnswered,
        });
        let writes = method != Method::GetMany;
        self.tally.note_if(writes && done + unknown < answers.len(), Happening::BatchPartly);
        self.tally.note_if(writes && unknown > 0, Happening::BatchPartlyUnknown);
    }

    pub(super) fn note_answer(&mut self, sending: SendingId, answer: Answer, now_nanos: u64, history: &mut History) {
        let operation = history.operation(sending.operation);
        let (key, action) = (operation.key, operation.action);
        let before = operation.end();
        let may_have_run = operation.told().any(|(_, told)| told == Told::MayRun);
        history.answer(sending, now_nanos, answer.told);
        let Told::Done(outcome) = answer.told else { return self.tally.note(answer.kind) };
        match (before, may_have_run) {
            (End::Done(_), _) => self.tally.note(Happening::Repeated),
            (_, true) if self.settling => self.tally.note(Happening::SettledInTheEnd),
            (_, true) => self.tally.note(Happening::Settled),
            _ => {}
        }
        if !matches!(outcome, Outcome::PreconditionFailed { .. }) {
            self.tally.note(answer.kind);
        }
        if let Some(precondition) = action.precondition() {
            self.tally.note(Happening::of_precondition(precondition, outcome));
        }
        let known = &mut self.known[key];
        match (action, outcome) {
            (Action::Put { time_to_live_nanos, .. }, Outcome::Put { version }) => {
                known.version = Some(version);
                known.ends_nanos = time_to_live_nanos.map(|lasts| now_nanos + lasts);
            }
            (_, Outcome::Got(Some(seen))) => {
                *known = Known { version: Some(seen.version), ends_nanos: seen.expires_at_nanos };
            }
            (_, Outcome::Got(None)) if known.ends_nanos.take_if(|end| *end <= now_nanos).is_some() => {
                self.tally.note(Happening::EndReached);
            }
            (_, Outcome::Deleted(Some(_))) => known.ends_nanos = None,
            _ => {}
        }
    }
}
