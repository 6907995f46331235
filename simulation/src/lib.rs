//! Runs Canopy's own Wasm in simulated networks, under faults drawn from a seed, and checks every answer.
//!
//! Start at [`run`]: one run from set-up to verdict. [`case`] draws what it consists of, [`faults`] names what may go
//! wrong, [`network`] is the service on a simulated network, [`workload`] its clients, [`uploads`] those that put and
//! read large values, [`administrator`] whoever stops, upgrades and tops up, [`guests`] clients whose rights change,
//! [`limits`] what each may ask for, [`mover`] has ranges change hands, [`scrubber`] looks for leftovers. [`history`]
//! records what clients were told ([`answers`], through [`sender`]), [`tally`] how often each kind of thing happened,
//! and [`checkers`] judge it.
//! [`campaign`] runs many seeds and [`shrink`] makes a failing one smaller. [`planted`] bugs show that they are found.
//! [`scenarios`] are mistakes of administrators, each with its expected outcome. [`enumeration`] places every trouble at
//! every step of a transfer.
//!
//! The same seed and options give the same run, event for event.

pub mod administrator;
pub mod answers;
pub mod caller;
pub mod campaign;
pub mod case;
pub mod checkers;
pub mod draw;
pub mod enumeration;
pub mod faults;
pub mod guests;
pub mod history;
pub mod limits;
pub mod mover;
pub mod network;
pub mod planted;
pub mod results;
pub mod run;
pub mod scenarios;
pub mod scrubber;
pub mod sender;
pub mod shrink;
pub mod tally;
pub mod uploads;
pub mod workload;
