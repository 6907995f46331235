//! What operations used, each measured alone.

/// What one operation used, router and shards together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    pub instructions: u64,
    pub cycles: u128,
    /// Executions of canister code: requests and the callbacks of their responses.
    pub messages: u64,
}

/// Executions of an operation that nothing else disturbs: the router's method, the shard's, the router's callback.
const OPERATION_MESSAGES: u64 = 3;

/// Counters of all canisters of a deployment, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    pub instructions: u64,
    pub balance: u128,
    pub messages: u64,
}

impl Reading {
    /// Gives what one operation has used since `earlier`; `None` when something else ran meanwhile, such as a part of a
    /// split. Nobody may have topped a canister up.
    pub fn since(&self, earlier: &Reading) -> Option<Use> {
        let messages = self.messages - earlier.messages;
        (messages == OPERATION_MESSAGES).then_some(Use {
            instructions: self.instructions - earlier.instructions,
            cycles: earlier.balance.checked_sub(self.balance)?,
            messages,
        })
    }
}

/// Measurements of one kind of operation.
#[derive(Debug, Default)]
pub struct Figures {
    measured: Vec<Use>,
}

impl Figures {
    pub fn record(&mut self, used: Option<Use>) {
        self.measured.extend(used);
    }

    pub fn len(&self) -> usize {
        self.measured.len()
    }

    /// Gives the median and the 99th percentile of a figure by the nearest rank; `None` without measurements.
    pub fn median_and_p99(&self, figure: impl Fn(&Use) -> u128) -> Option<(u128, u128)> {
        let mut values: Vec<u128> = self.measured.iter().map(figure).collect();
        values.sort_unstable();
        let rank = |percent: usize| values.get((values.len() * percent).div_ceil(100).max(1) - 1).copied();
        Some((rank(50)?, rank(99)?))
    }
}

#[cfg(test)]
#[path = "figures_tests.rs"]
mod tests;
