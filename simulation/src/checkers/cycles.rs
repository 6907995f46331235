//! Cycles are neither made nor lost.
//!
//! The simulator keeps its own books (`Instance::check_invariants`); here they are read once more, and held against what
//! the service promises: calls that carry cycles wait for their answer without bound, so none of the service's cycles
//! can vanish with a lost message.

use std::fmt;

#[cfg(test)]
mod tests;

/// Cycles of a network, in sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Given by the driver: at creation and by top-ups.
    pub given: u128,
    /// Balances, with what is reserved, of all canisters.
    pub balances: u128,
    /// Attached to messages or set aside for them.
    pub in_flight: u128,
    /// Paid as fees, burned, or left in deleted canisters.
    pub spent: u128,
    /// Gone with messages that vanished.
    pub lost: u128,
    /// Attached by the driver's own callers to calls whose answer may be lost.
    pub risked: u128,
}

/// Why the books don't balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The sum of all cycles is not what was given.
    NotConserved { books: Books },
    /// The service lost cycles with a message.
    ServiceLost { books: Books },
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NotConserved { books } => write!(formatter, "cycles were made or destroyed: {books:?}"),
            Fault::ServiceLost { books } => {
                write!(formatter, "the service lost cycles with a message that vanished: {books:?}")
            }
        }
    }
}

/// Checks that everything given is somewhere, and that only the driver's callers lost any.
///
/// # Errors
/// The first sum that is off.
pub fn check(books: &Books) -> Result<(), Fault> {
    if books.balances + books.in_flight + books.spent + books.lost != books.given {
        return Err(Fault::NotConserved { books: *books });
    }
    if books.lost > books.risked {
        return Err(Fault::ServiceLost { books: *books });
    }
    Ok(())
}
