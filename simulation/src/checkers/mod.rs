//! What must hold. Each checker is a pure function of what was seen, with hand-made histories that it must refuse and
//! accept.

pub mod canisters;
pub mod cover;
pub mod cycles;
pub mod exactly_once;
pub mod linearizability;
pub mod rates;
pub mod records;
pub mod register;
pub mod rights;
pub mod uploads;
