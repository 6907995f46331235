//! When what is sent: the middle of a driver, without the platform.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use canopy_types::{HashSecret, RoutingTable, Version};

use crate::answers::{self, Verdict};
use crate::draws::{Chance, Draw};
use crate::keys::{key, mix};
use crate::plan::{Pace, Plan, Service, Tally};
use crate::requests::{Action, Message, Writing, scan};

#[cfg(test)]
mod tests;

/// Records of a scan, at most.
const SCANNED_MAX: u64 = 100;
/// Draws for a place of a batch until one is found that isn't in it yet; then the batch is shorter.
const DRAWS_MAX: u32 = 256;
/// How often a modification is begun anew.
const CONFLICTS_MAX: u32 = 16;

/// What a message is about, kept while it is under way.
#[derive(Debug)]
pub struct Open {
    /// When it was due.
    since: u64,
    step: Step,
    /// Operations in it.
    operations: u64,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Get,
    Put,
    /// Of the driver's records from this one on.
    Insert {
        first: u64,
    },
    Scan,
    /// The first or the second half of a modification, which was begun so often.
    Read {
        number: u64,
        conflicts: u32,
    },
    Write {
        number: u64,
        conflicts: u32,
    },
}

/// Operations on one shard, until they are a batch.
#[derive(Default)]
struct Waiting {
    gets: Vec<u64>,
    puts: Vec<u64>,
}

/// What a direct driver knows.
struct Routing {
    table: RoutingTable,
    secret: HashSecret,
    waiting: Vec<Waiting>,
}

/// A driver at work.
pub struct Driver {
    plan: Plan,
    draw: Draw,
    chance: Chance,
    caller: Vec<u8>,
    routing: Option<Routing>,
    /// Messages that fell due and were not sent, by time.
    due: VecDeque<(u64, u64)>,
    credit: u64,
    is_stopped: bool,
    named: u64,
    /// Records that were begun to be inserted.
    inserts: u64,
    /// Records that were inserted before others in front of them: the first, and how many.
    inserted_ahead: BTreeMap<u64, u64>,
    pub tally: Tally,
}

impl Driver {
    /// Begins a plan, as this principal.
    ///
    /// # Panics
    ///
    /// When the host names no records, or a secret that is none.
    pub fn new(plan: Plan, caller: Vec<u8>) -> Self {
        let routing = match &plan.service {
            Service::Direct { routes, secret } => Some(Routing {
                waiting: routes.iter().map(|_| Waiting::default()).collect(),
                table: RoutingTable { routes: routes.clone() },
                secret: HashSecret::from_slice(secret).expect("the host tells the secret"),
            }),
            _ => None,
        };
        Self {
            draw: Draw::new(plan.spread, plan.records.max(1)),
            chance: Chance::new(mix(plan.seed) ^ plan.driver),
            plan,
            caller,
            routing,
            due: VecDeque::new(),
            credit: 0,
            is_stopped: false,
            named: 0,
            inserts: 0,
            inserted_ahead: BTreeMap::new(),
            tally: Tally::default(),
        }
    }

    /// Begins nothing any more.
    pub fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// Tells whether there is something to begin, now or later.
    pub fn goes_on(&self) -> bool {
        !self.is_stopped && self.tally.begun < self.plan.operations
    }

    /// Notes that a round has come.
    pub fn round(&mut self, now: u64) {
        if let Pace::PerRound(thousandths) = self.plan.pace {
            self.credit += thousandths;
            let messages = self.credit / 1_000;
            self.credit %= 1_000;
            if messages > 0 && self.goes_on() {
                self.due.push_back((now, messages));
            }
        }
    }

    /// Makes the next message, if one is to be sent now.
    pub fn next(&mut self, now: u64) -> Option<(Message, Open)> {
        if !self.goes_on() || self.tally.open >= u64::from(self.plan.open_max) {
            return None;
        }
        let since = match self.plan.pace {
            Pace::Full => now,
            Pace::PerRound(_) => {
                let (since, left) = self.due.front_mut()?;
                *left -= 1;
                let (since, is_last) = (*since, *left == 0);
                if is_last {
                    self.due.pop_front();
                }
                since
            }
        };
        let (message, step, operations) = self.begin(now);
        self.tally.begun += operations;
        self.sent(&message);
        Some((message, Open { since, step, operations }))
    }

    fn sent(&mut self, message: &Message) {
        self.tally.messages += 1;
        self.tally.open += 1;
        self.tally.request_bytes += (message.method.len() + message.bytes.len()) as u64;
    }

    fn begin(&mut self, now: u64) -> (Message, Step, u64) {
        let kind = self.chance.below(1_000) as u32;
        let mix = self.plan.mix;
        let step = if kind < mix.gets {
            Step::Get
        } else if kind < mix.gets + mix.puts {
            Step::Put
        } else if kind < mix.gets + mix.puts + mix.inserts {
            Step::Insert { first: self.inserts }
        } else if kind < mix.gets + mix.puts + mix.inserts + mix.modifies {
            Step::Read { number: self.record(), conflicts: 0 }
        } else {
            Step::Scan
        };
        if self.plan.batch > 1 {
            return self.begin_batch(step, now);
        }
        let number = match step {
            Step::Get | Step::Put => self.record(),
            Step::Insert { .. } => self.insert(),
            Step::Read { number, .. } | Step::Write { number, .. } => number,
            Step::Scan => 0,
        };
        (self.one(step, number, None, now), step, 1)
    }

    /// Draws a record.
    fn record(&mut self) -> u64 {
        let (from, driver, drivers) = (self.plan.inserts_from, self.plan.driver, self.plan.drivers);
        self.draw.record(&mut self.chance, self.tally.inserted, |place| from + place * drivers + driver)
    }

    /// Numbers a new record.
    fn insert(&mut self) -> u64 {
        let number = self.plan.inserts_from + self.inserts * self.plan.drivers + self.plan.driver;
        self.inserts += 1;
        number
    }

    /// Writes a message about one record.
    fn one(&mut self, step: Step, number: u64, over: Option<Version>, now: u64) -> Message {
        let is_get = matches!(step, Step::Get | Step::Read { .. });
        let id = self.name();
        let scanned = (self.chance.number(), 1 + self.chance.below(SCANNED_MAX) as u32);
        let writing = self.writing(&id, now);
        let (method, bytes) = match (&self.plan.service, step) {
            (_, Step::Scan) => scan(scanned.0, scanned.1),
            (Service::Map { .. }, _) => writing.map_one(if is_get { Action::Get } else { Action::Put }, number),
            _ if is_get => writing.get(number),
            _ => writing.put(number, over),
        };
        let callee = match &self.plan.service {
            Service::Routed { router } => *router,
            Service::Map { canister } => *canister,
            Service::Direct { .. } => {
                let routing = self.routing.as_ref().expect("a direct driver has routes");
                routing.table.routes[routing.place(number)].shard
            }
        };
        Message { callee, method, bytes }
    }

    fn begin_batch(&mut self, step: Step, now: u64) -> (Message, Step, u64) {
        let batch = u64::from(self.plan.batch).min(self.plan.operations - self.tally.begun) as usize;
        let id = self.name();
        if self.routing.is_some() {
            let (shard, is_get, numbers) = self.fill(step, batch);
            let (action, step) = if is_get { (Action::Get, Step::Get) } else { (Action::Put, Step::Put) };
            let (method, bytes) = self.writing(&id, now).apply(action, &numbers);
            let callee = self.routing.as_ref().expect("seen above").table.routes[shard].shard;
            return (Message { callee, method, bytes }, step, numbers.len() as u64);
        }
        let mut numbers = Vec::with_capacity(batch);
        let mut taken = BTreeSet::new();
        while numbers.len() < batch {
            let number = match step {
                Step::Insert { .. } => Some(self.insert()),
                // No batch may name a key twice.
                _ => (0..DRAWS_MAX).map(|_| self.record()).find(|number| !taken.contains(number)),
            };
            let Some(number) = number else { break };
            taken.insert(number);
            numbers.push(number);
        }
        let (action, step) = match step {
            Step::Get => (Action::Get, Step::Get),
            Step::Insert { .. } => (Action::Put, step),
            _ => (Action::Put, Step::Put),
        };
        let writing = self.writing(&id, now);
        let ((method, bytes), callee) = match &self.plan.service {
            Service::Map { canister } => (writing.map_many(action, &numbers), *canister),
            Service::Routed { router } => (writing.many(action, &numbers), *router),
            Service::Direct { .. } => unreachable!("a direct driver has routes"),
        };
        (Message { callee, method, bytes }, step, numbers.len() as u64)
    }

    /// Draws operations until there are enough of one kind for one shard.
    fn fill(&mut self, first: Step, batch: usize) -> (usize, bool, Vec<u64>) {
        let mut step = first;
        loop {
            let is_get = matches!(step, Step::Get);
            let number = self.record();
            let routing = self.routing.as_mut().expect("only a direct driver collects");
            let shard = routing.place(number);
            let waiting = &mut routing.waiting[shard];
            let list = if is_get { &mut waiting.gets } else { &mut waiting.puts };
            list.push(number);
            if list.len() >= batch {
                return (shard, is_get, std::mem::take(list));
            }
            step = if self.chance.below(1_000) < u64::from(self.plan.mix.gets) { Step::Get } else { Step::Put };
        }
    }

    fn name(&mut self) -> [u8; 16] {
        self.named += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&mix(self.plan.seed ^ self.plan.driver << 32).to_le_bytes());
        id[8..].copy_from_slice(&self.named.to_le_bytes());
        id
    }

    fn writing<'a>(&'a self, id: &'a [u8; 16], now: u64) -> Writing<'a> {
        Writing {
            value_bytes: self.plan.value_bytes,
            operation: self.plan.named.then_some((id, now)),
            own_table: self.plan.own_table,
            caller: &self.caller,
        }
    }

    /// Only what is there may be drawn: records up to the first that isn't known to be.
    fn note_inserted(&mut self, first: u64, count: u64) {
        self.inserted_ahead.insert(first, count);
        while let Some(count) = self.inserted_ahead.remove(&self.tally.inserted) {
            self.tally.inserted += count;
        }
    }

    /// Notes a reply; makes the message that follows from it, if one does.
    pub fn replied(&mut self, open: Open, reply: &[u8], now: u64) -> Option<(Message, Open)> {
        self.tally.reply_bytes += reply.len() as u64;
        let is_put = matches!(open.step, Step::Put | Step::Insert { .. } | Step::Write { .. });
        let (operations, value_bytes) = (open.operations, self.plan.value_bytes);
        let verdict = match (&self.plan.service, open.step) {
            (_, Step::Scan) => answers::scanned(reply),
            (Service::Map { .. }, _) => answers::map(is_put, operations, value_bytes, reply),
            _ if self.plan.batch == 1 && is_put => answers::put(reply),
            _ if self.plan.batch == 1 => answers::get(reply, value_bytes),
            (Service::Direct { .. }, _) => answers::applied(operations, reply),
            _ => answers::many(is_put, operations, value_bytes, reply),
        };
        let next = match (open.step, &verdict) {
            (Step::Read { number, conflicts }, Verdict::Done) => Some(Step::Write { number, conflicts }),
            (Step::Write { number, conflicts }, Verdict::Conflict) if conflicts < CONFLICTS_MAX => {
                self.tally.conflicts += 1;
                Some(Step::Read { number, conflicts: conflicts + 1 })
            }
            _ => None,
        };
        if let Some(step @ (Step::Read { number, .. } | Step::Write { number, .. })) = next {
            self.tally.open -= 1;
            let over = if is_put { None } else { answers::version(reply) };
            let message = self.one(step, number, over, now);
            self.sent(&message);
            return Some((message, Open { step, ..open }));
        }
        self.judged(open, verdict, now);
        None
    }

    /// Notes that a call was rejected, or not taken.
    pub fn rejected(&mut self, open: Open, words: String, now: u64) {
        let operations = open.operations;
        self.judged(open, answers::refused(operations, words), now);
    }

    fn judged(&mut self, open: Open, verdict: Verdict, now: u64) {
        self.tally.open -= 1;
        let done = match verdict {
            Verdict::Done => open.operations,
            Verdict::Scanned(records) => {
                self.tally.scanned += records;
                open.operations
            }
            Verdict::Conflict => {
                self.tally.refused += 1;
                self.tally.beaten += 1;
                self.tally.first_refusal.get_or_insert_with(|| "somebody else was always ahead".to_string());
                0
            }
            Verdict::Refused(operations, words) => {
                self.tally.refused += operations;
                self.tally.calls_open += if words.contains("CallsOpen") { operations } else { 0 };
                self.tally.first_refusal.get_or_insert(words);
                open.operations - operations
            }
            Verdict::Failed(operations, words) => {
                self.tally.failed += operations;
                self.tally.first_failure.get_or_insert(words);
                open.operations - operations
            }
        };
        if let Step::Insert { first } = open.step
            && done == open.operations
        {
            self.note_inserted(first, done);
        }
        if done > 0 {
            self.tally.took(now - open.since, done);
        }
    }
}

impl Routing {
    fn place(&self, number: u64) -> usize {
        let hash = self.secret.hash(&key(number));
        self.table.routes.partition_point(|route| route.range.first <= hash) - 1
    }
}
