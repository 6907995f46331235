//! The end of a run: every key is read and written, all records are walked through, and the shards are asked themselves.

use canopy_simulator::errors::UserError;
use canopy_types::codec::encode;
use canopy_types::{GetArguments, PutArguments};

use super::{Failure, Run, SECOND_NANOS, wrong};
use crate::answers::{Answer, Heard, Method, Page, describe_reply, fingerprint, hear, read_reject, read_reply};
use crate::checkers::records;
use crate::history::{Action, Outcome, Seen, Told};
use crate::mover;
use crate::workload::Scan;

/// Attempts to read and to write each key in the end.
const FINAL_ATTEMPTS_MAX: usize = 40;
/// Steps of a second in which a transfer must end when nothing goes wrong.
const REST_STEPS_MAX: usize = 600;
/// Keys that are written in the end, and what is done with them; all are read.
const FINAL_KEYS_MAX: usize = 24;
const FINAL_METHODS: [Method; 4] = [Method::Get, Method::GetQuery, Method::Put, Method::Get];
/// Pages of a walk through all records in the end, about, and at most.
const FINAL_PAGES: usize = 5;
const FINAL_PAGES_MAX: u32 = 400;

impl Run<'_> {
    /// Reads the first keys by update and by query, writes them and reads them again; reads all others; then asks the
    /// shards themselves.
    pub(super) fn read_and_write_everything(&mut self) -> Result<(), Failure> {
        self.rest()?;
        let mut told: Vec<Option<Seen>> = Vec::new();
        for key in 0..self.case.keys.len() {
            let methods: &[Method] = if key < FINAL_KEYS_MAX { &FINAL_METHODS } else { &[] };
            let mut is_large = false;
            for method in methods {
                // Some large values stay, to be looked at in the end.
                if *method == Method::Put && is_large && key.is_multiple_of(2) {
                    continue;
                }
                is_large = matches!(self.insist(key, *method)?, Outcome::GotLarge { .. });
            }
            match self.insist(key, Method::GetQuery)? {
                Outcome::Got(seen) => told.push(seen),
                Outcome::GotLarge { .. } => told.push(Some(self.see_large(key)?)),
                other => return Err(Failure::Wrong(format!("a get came to {other:?}"))),
            }
        }
        self.scan_everything(&told)?;
        self.rest()?;
        let mut holdings = Vec::new();
        for shard in self.network.shards.clone() {
            let silent = || Failure::NoProgress(format!("{shard} doesn't say what it holds"));
            let records = self.network.info(shard).ok_or_else(silent)?.records;
            let keys = self.case.keys.iter();
            let answers = keys.map(|key| self.network.get_from_shard(shard, key)).collect::<Option<Vec<_>>>();
            holdings.push(records::Holdings { shard, records, answers: answers.ok_or_else(silent)? });
        }
        records::check(&told, &holdings).map_err(wrong)
    }

    /// Waits until no range changes hands, and learns which shards there are: a service may grow as long as it lives.
    fn rest(&mut self) -> Result<(), Failure> {
        for _ in 0..REST_STEPS_MAX {
            if self.network.status().is_some_and(|status| mover::running(&status).next().is_none()) {
                return Ok(());
            }
            self.advance(SECOND_NANOS)?;
        }
        Err(Failure::NoProgress(format!("a range changes hands for more than {REST_STEPS_MAX} s")))
    }

    /// Walks through all records, as an update without values and as a query with them, in short pages.
    fn scan_everything(&mut self, told: &[Option<Seen>]) -> Result<(), Failure> {
        if !self.network.learn_hashes(&self.case.keys) {
            return Err(Failure::NoProgress("the router doesn't tell its table".to_string()));
        }
        let records_max = self.case.keys.len().div_ceil(FINAL_PAGES) as u32;
        for (method, include_value) in [(Method::Scan, Some(false)), (Method::ScanQuery, None)] {
            let mut scan = Scan::of_everything(include_value, records_max);
            let mut scanned = Vec::new();
            while !scan.is_over() {
                if scan.pages > FINAL_PAGES_MAX {
                    return Err(Failure::NoProgress(format!("a scan has more than {FINAL_PAGES_MAX} pages: {scan:?}")));
                }
                let page = self.insist_on_page(method, &scan)?;
                let said = scan.take(page, &self.case.keys, &self.network.hashes);
                let said = said.map_err(|impossible| Failure::Wrong(impossible.0))?;
                scanned.extend(said.into_iter().filter_map(|(key, seen)| Some((key, seen?))));
            }
            records::check_scan(told, &scanned).map_err(wrong)?;
        }
        Ok(())
    }

    /// Asks for a page until it is answered.
    fn insist_on_page(&mut self, method: Method, scan: &Scan) -> Result<Page, Failure> {
        let mut last = String::new();
        for _ in 0..FINAL_ATTEMPTS_MAX {
            let answer = self.ask_in_the_end(method, scan.arguments(self.case))?;
            if let Ok(reply) = &answer
                && let Heard::Page(page) =
                    hear(method, false, 0, reply).map_err(|impossible| Failure::Wrong(impossible.0))?
            {
                return Ok(page);
            }
            last = match answer {
                Ok(reply) => describe_reply(method, false, &reply),
                Err(error) => format!("{}: {}", error.code, error.message),
            };
            self.advance(10 * SECOND_NANOS)?;
        }
        Err(Failure::NoProgress(format!("a page is never answered: {last}")))
    }

    /// Asks the router and waits for the answer.
    fn ask_in_the_end(&mut self, method: Method, arguments: Vec<u8>) -> Result<Result<Vec<u8>, UserError>, Failure> {
        let (user, router) = (self.network.users[0], self.network.router);
        if method.is_query() {
            return Ok(self.network.query(user, router, method.name(), arguments));
        }
        match self.network.submit(user, router, method.name(), arguments) {
            Ok(message) => {
                self.network.instance.await_ingress(&message).map_err(|refusal| Failure::NoProgress(refusal.0))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// Repeats an operation until it is done.
    pub(crate) fn insist(&mut self, key: usize, method: Method) -> Result<Outcome, Failure> {
        let value = |attempt| format!("final value of key {key}, attempt {attempt}").into_bytes();
        self.insist_on(key, method, value)
    }

    /// As [`Run::insist`]; a put stores another value with each attempt.
    pub(crate) fn insist_on(
        &mut self,
        key: usize,
        method: Method,
        value: impl Fn(usize) -> Vec<u8>,
    ) -> Result<Outcome, Failure> {
        let key_bytes = self.case.keys[key].clone();
        let mut last = String::new();
        for attempt in 0..FINAL_ATTEMPTS_MAX {
            let (action, arguments) = if method == Method::Put {
                let value = value(attempt);
                (Action::put(fingerprint(&value)), encode(&PutArguments::new(key_bytes.clone(), value)))
            } else {
                (Action::Get, encode(&GetArguments::new(key_bytes.clone())))
            };
            let operation = self.history.begin(usize::MAX, key, action, None);
            let sending = self.history.send(operation, self.network.round_nanos);
            let answer = self.ask_in_the_end(method, arguments)?;
            let Answer { told, .. } = match &answer {
                Ok(reply) => read_reply(method, reply).map_err(|impossible| Failure::Wrong(impossible.0))?,
                Err(error) => read_reject(error, true),
            };
            self.history.answer(sending, self.network.instance.time_nanos(), told);
            if let Told::Done(outcome) = told {
                return Ok(outcome);
            }
            last = match answer {
                Ok(reply) => describe_reply(method, false, &reply),
                Err(error) => format!("{}: {}", error.code, error.message),
            };
            self.advance(10 * SECOND_NANOS)?;
        }
        Err(Failure::NoProgress(format!("`{}` of key {key} is never done: {last}", method.name())))
    }
}
