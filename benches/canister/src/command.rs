//! What the canister is told to do, and what it answers, as numbers of 8 bytes.

/// What a command does, once per record unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Action {
    /// Makes an empty store, once.
    CreateStore,
    /// Makes an empty StableBTreeMap, once.
    CreateMap,
    /// Grows the memory ahead, once; nothing for the map, which grows by itself.
    Grow,
    /// Puts a value of `value_bytes` under an operation of its own. A map inserts.
    Put,
    /// Puts a value of between half of `value_bytes` and all of it, by chance.
    PutShorter,
    /// Puts a value of up to `value_bytes`, by chance.
    PutRandom,
    /// Puts under the hash that all equal keys have.
    PutEqualHash,
    /// Gets a record that is there.
    Get,
    /// Gets a record that isn't there.
    GetMissing,
    /// Gets a record under the hash that all equal keys have.
    GetEqualHash,
    /// Deletes a record, under an operation of its own.
    Delete,
    /// Deletes a record under the hash that all equal keys have.
    DeleteEqualHash,
    /// Imports a record with a receipt, as in a transfer.
    Import,
    /// Visits `count` records in order from the place of record `first` on.
    Walk,
    /// Frees everything, until `count` instructions are used as the store estimates them.
    Free,
    /// Sets the shard time to `first` minutes after the beginning and sweeps, until `count` instructions are used.
    Sweep,
    /// Opens the memory again, as after an upgrade, once.
    Open,
    /// Tells sizes, once: records, live bytes, bytes touched without the fixed ones, bytes of memory.
    Sizes,
}

impl Action {
    const ALL: [Action; 18] = [
        Action::CreateStore,
        Action::CreateMap,
        Action::Grow,
        Action::Put,
        Action::PutShorter,
        Action::PutRandom,
        Action::PutEqualHash,
        Action::Get,
        Action::GetMissing,
        Action::GetEqualHash,
        Action::Delete,
        Action::DeleteEqualHash,
        Action::Import,
        Action::Walk,
        Action::Free,
        Action::Sweep,
        Action::Open,
        Action::Sizes,
    ];
}

/// One message's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What to do.
    pub action: Action,
    /// Number of the first step, by which operations are named; see also [`Action`].
    pub first: u64,
    /// Steps, unless `records` lists them.
    pub count: u64,
    /// Bytes of a value.
    pub value_bytes: u64,
    /// Numbers of the records, one for each step; if empty, `first` and those after it.
    pub records: Vec<u64>,
}

impl Command {
    /// Does something that takes no numbers.
    pub fn once(action: Action) -> Self {
        Self { action, first: 0, count: 0, value_bytes: 0, records: Vec::new() }
    }

    /// Writes the message.
    pub fn write(&self) -> Vec<u8> {
        let head = [self.action as u64, self.first, self.count, self.value_bytes];
        head.iter().chain(&self.records).flat_map(|number| number.to_le_bytes()).collect()
    }

    /// Reads the message.
    ///
    /// # Panics
    ///
    /// When the driver didn't write it.
    pub fn read(message: &[u8]) -> Self {
        let numbers = numbers(message);
        let [action, first, count, value_bytes, records @ ..] = &numbers[..] else { panic!("four numbers come first") };
        let (action, records) = (Action::ALL[*action as usize], records.to_vec());
        Self { action, first: *first, count: *count, value_bytes: *value_bytes, records }
    }

    /// The records of the steps, and the number of each step.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let count = if self.records.is_empty() { self.count } else { self.records.len() as u64 };
        (0..count).map(|at| {
            let step = self.first + at;
            (self.records.get(at as usize).copied().unwrap_or(step), step)
        })
    }
}

/// Dirtied pages by which steps are counted apart; a step with more counts as this many.
pub const PAGES_TOLD_MAX: usize = 15;

/// What a command used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// By `performance_counter`, of the steps alone.
    pub instructions: u64,
    /// Steps done.
    pub steps: u64,
    /// Steps that dirtied so many stable pages, each; told outside a canister.
    pub pages: [u64; PAGES_TOLD_MAX + 1],
    /// What [`Action::Sizes`] tells.
    pub sizes: [u64; 4],
}

impl Reply {
    /// Writes the message.
    pub fn write(&self) -> Vec<u8> {
        let head = [self.instructions, self.steps];
        head.iter().chain(&self.pages).chain(&self.sizes).flat_map(|number| number.to_le_bytes()).collect()
    }

    /// Reads the message.
    ///
    /// # Panics
    ///
    /// When the canister didn't write it.
    pub fn read(message: &[u8]) -> Self {
        let numbers = numbers(message);
        let [instructions, steps, rest @ ..] = &numbers[..] else { panic!("two numbers come first") };
        let (pages, sizes) = rest.split_at(PAGES_TOLD_MAX + 1);
        Self {
            instructions: *instructions,
            steps: *steps,
            pages: pages.try_into().expect("the canister tells all pages"),
            sizes: sizes.try_into().expect("the canister tells all sizes"),
        }
    }

    /// Adds what another command used.
    pub fn add(&mut self, other: &Reply) {
        self.instructions += other.instructions;
        self.steps += other.steps;
        for (sum, pages) in self.pages.iter_mut().zip(other.pages) {
            *sum += pages;
        }
    }
}

fn numbers(message: &[u8]) -> Vec<u64> {
    message.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes"))).collect()
}

#[cfg(test)]
mod tests;
