//! The cases by topic.

pub mod basic;
pub mod calls;
pub mod cycles;
pub mod deadlines;
pub mod install;
pub mod lifecycle;
pub mod limits;
pub mod management;
pub mod meter;
pub mod probe;
pub mod queries;
pub mod rest;
pub mod rollback;
pub mod timers;
pub mod xnet;

/// The names of all cases.
pub const TOPICS: &[&[&str]] = &[
    rest::NAMES,
    basic::NAMES,
    rollback::NAMES,
    calls::NAMES,
    cycles::NAMES,
    deadlines::NAMES,
    lifecycle::NAMES,
    install::NAMES,
    timers::NAMES,
    queries::NAMES,
    meter::NAMES,
    limits::NAMES,
    management::NAMES,
    xnet::NAMES,
    probe::NAMES,
];
