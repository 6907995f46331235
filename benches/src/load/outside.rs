//! Callers from outside: users, whose messages come in blocks.

use std::collections::VecDeque;

use canopy_bench_driver::driving::{Driver, Open};
use canopy_bench_driver::{Pace, Plan};
use pocket_ic::common::rest::RawMessageId;

use super::cells::Cell;
use super::measure::{Outcome, open_max, plan};
use super::watch::{BLOCK_BYTES_MAX, BLOCK_MESSAGES_MAX, ENVELOPE_BYTES, Watch};
use super::world::World;

const WARM_ROUNDS: u64 = 5;
/// Rounds at most, and after the last message.
const ROUNDS_MAX: u64 = 5_000;
/// Messages that users have under way at most: two blocks.
const OPEN_MAX: u64 = 2 * BLOCK_MESSAGES_MAX as u64;
/// Puts load on a service from outside, so many operations at least.
pub fn run(world: &World, cell: &Cell, pace: Option<u64>, operations: u64) -> Outcome {
    let messages = pace.map(|thousandths| (thousandths / u64::from(cell.batch)).max(1));
    let plan = Plan {
        operations,
        open_max: open_max(cell).min(OPEN_MAX) as u32,
        pace: messages.map_or(Pace::Full, Pace::PerRound),
        ..plan(world, cell, 1)
    };
    let mut driver = Driver::new(plan, world.user.as_slice().to_vec());
    let mut under_way: VecDeque<(RawMessageId, Open)> = VecDeque::new();
    let mut watch = Watch::new(world);
    let (mut rounds, mut before, mut counted) = (0, 0, None);
    let began = world.pic.get_time().as_nanos_since_unix_epoch();
    while driver.goes_on() || !under_way.is_empty() {
        assert!(rounds < ROUNDS_MAX, "{}: not all are answered after {rounds} rounds", cell.name);
        // The driver counts rounds as a canister would by the clock. Operations are issued by that clock, too.
        let now = began + rounds;
        driver.round(now);
        let mut bytes = 0;
        let mut block = 0;
        let is_full = loop {
            if block >= BLOCK_MESSAGES_MAX || bytes >= BLOCK_BYTES_MAX {
                break true;
            }
            let Some((message, open)) = driver.next(now) else { break false };
            bytes += (message.method.len() + message.bytes.len()) as u64 + ENVELOPE_BYTES;
            block += 1;
            match world.pic.submit_call(message.callee, world.user, message.method, message.bytes) {
                Ok(id) => under_way.push_back((id, open)),
                Err(reject) => driver.rejected(open, reject.to_string(), now),
            }
        };
        world.pic.tick();
        rounds += 1;
        watch.blocks_full += u64::from(is_full && rounds > WARM_ROUNDS);
        let mut rest = VecDeque::with_capacity(under_way.len());
        for (id, open) in std::mem::take(&mut under_way) {
            match world.pic.ingress_status(id.clone()) {
                None => rest.push_back((id, open)),
                Some(Ok(reply)) => {
                    if let Some((message, open)) = driver.replied(open, &reply, began + rounds) {
                        let sent = world.pic.submit_call(message.callee, world.user, message.method, message.bytes);
                        rest.push_back((sent.expect("a writer may write"), open));
                    }
                }
                Some(Err(reject)) => driver.rejected(open, reject.to_string(), began + rounds),
            }
        }
        under_way = rest;
        if rounds == WARM_ROUNDS {
            before = driver.tally.done;
            watch = Watch::new(world);
        } else if rounds > WARM_ROUNDS && driver.goes_on() {
            watch.round(world);
            counted = Some((driver.tally.done - before, rounds - WARM_ROUNDS));
        }
    }
    let (done, rounds) = counted.unwrap_or((driver.tally.done, rounds));
    Outcome::new(world, driver.tally, done, rounds, &watch)
}
