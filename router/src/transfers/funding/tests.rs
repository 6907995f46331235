use canopy_types::funding::CyclesNeed;
use canopy_types::transfer::{
    BeginTransferArguments, BeginTransferResult, CancelTransferResult, TransferEnd, TransferError, TransferPhase,
    TransferProgress, TransferProgressResult,
};

use super::*;
use crate::transfers::Send;
use crate::transfers::running::ATTEMPTS_MAX;
use crate::transfers::tests::{MEASURED_BYTES, SECOND, SHARD, SPARE, World, canister, progress};
use canopy_types::codec;

/// What a shard lacks in most of these tests, and what it is sent then.
const AVAILABLE: u128 = 300;
const REQUIRED: u128 = 800;
const PAYMENT: u128 = REQUIRED - AVAILABLE + REQUIRED / MARGIN_PARTS;

/// A split of which an end says that it lacks cycles; the other end has enough.
fn short_of_cycles(side: TransferSide) -> World {
    let (mut world, _) = World::splitting();
    world.cycles = 10_000;
    world.measure();
    if side == TransferSide::Source {
        let call = world.expect("begin_transfer", SPARE);
        world.reply(call, &BeginTransferResult::Ok(()));
    }
    says_short(&mut world, side, AVAILABLE);
    world
}

fn shard_of(side: TransferSide) -> ShardIndex {
    if side == TransferSide::Source { SHARD } else { SPARE }
}

fn says_short(world: &mut World, side: TransferSide, available: u128) {
    let call = world.expect("begin_transfer", shard_of(side));
    let short = TransferError::CyclesShort { available: available.into(), required: REQUIRED.into() };
    world.reply(call, &BeginTransferResult::Err(short));
}

/// Expects a payment, and tells its call.
fn expect_payment(world: &mut World, shard: ShardIndex, cycles: u128) -> u64 {
    let sent = world.next_call().unwrap_or_else(|| panic!("nothing is sent: {:?}", world.transfers.status()));
    let Send { call, callee, method, arguments, cycles: brought } = sent;
    assert_eq!((callee, method, brought), (candid::Principal::management_canister(), "deposit_cycles", Some(cycles)));
    assert_eq!(arguments, crate::management::deposit_cycles(canister(shard)));
    call
}

fn arrived(world: &mut World, call: u64) {
    world.answer(call, Answer::Reply(serde_bytes::ByteBuf::from(codec::encode(&()))));
}

fn shortage(world: &World) -> Option<FundingShortage> {
    world.transfers.status().last()?.funding.as_ref()?.shortage.clone()
}

fn paid(world: &World) -> (u128, u128) {
    let funding = world.transfers.status().last().expect("a transfer was begun").funding.clone();
    funding.map_or((0, 0), |funding| {
        let number = |cycles| crate::readings::number(&cycles);
        (number(funding.source_cycles), number(funding.target_cycles))
    })
}

/// Answers whatever is sent to stop the transfer.
fn stops(world: &mut World, shards: &[ShardIndex]) {
    for shard in shards {
        let call = world.expect("cancel_transfer", *shard);
        world.reply(call, &CancelTransferResult::Ok(TransferPhase::Ended(TransferEnd::Cancelled)));
    }
    assert_eq!(world.next_call(), None);
    assert_eq!(world.stage(), TransferStage::Ended(TransferEnd::Cancelled));
}

#[test]
fn the_target_is_told_what_the_range_takes_on_the_source() {
    let (mut world, _) = World::splitting();
    world.measure();
    let told: BeginTransferArguments = codec::decode(&world.next_call().unwrap().arguments).unwrap();
    assert_eq!(told.bytes, Some(MEASURED_BYTES / 2));

    // A source of older code doesn't tell, and one that can't be asked is none.
    let (mut world, _) = World::splitting();
    let call = world.expect("info", SHARD);
    world.reply(call, &());
    let told: BeginTransferArguments = codec::decode(&world.next_call().unwrap().arguments).unwrap();
    assert_eq!(told.bytes, None);
    let (mut world, _) = World::splitting();
    for _ in 0..ATTEMPTS_MAX {
        let call = world.expect("info", SHARD);
        world.answer(call, Answer::Reject { code: 3, message: "no such canister".to_string() });
    }
    stops(&mut world, &[]);
}

#[test]
fn an_end_that_lacks_cycles_is_sent_them_and_asked_again() {
    for side in [TransferSide::Target, TransferSide::Source] {
        let mut world = short_of_cycles(side);
        let call = expect_payment(&mut world, shard_of(side), PAYMENT);
        assert_eq!(world.spending.in_day(world.now), PAYMENT, "it is counted before it is sent");
        let [(_, payment)] = &world.payments[..] else { panic!("{:?}", world.payments) };
        assert_eq!((payment.cycles, payment.available, payment.required), (PAYMENT, AVAILABLE, REQUIRED));
        arrived(&mut world, call);
        let call = world.expect("begin_transfer", shard_of(side));
        world.reply(call, &BeginTransferResult::Ok(()));
        let next = if side == TransferSide::Target { "begin_transfer" } else { "transfer_progress" };
        world.expect(next, SHARD);
        let expected = if side == TransferSide::Target { (0, PAYMENT) } else { (PAYMENT, 0) };
        assert_eq!((paid(&world), shortage(&world)), (expected, None));
    }
}

#[test]
fn a_lost_answer_is_settled_by_what_the_shard_has_and_costs_no_more_than_the_bound() {
    // It has arrived.
    let mut world = short_of_cycles(TransferSide::Target);
    let call = expect_payment(&mut world, SPARE, PAYMENT);
    world.open_calls.remove(&call);
    let call = world.expect("begin_transfer", SPARE);
    world.reply(call, &BeginTransferResult::Ok(()));
    assert_eq!(paid(&world), (0, PAYMENT));
    // It seems to be lost, again and again.
    let mut world = short_of_cycles(TransferSide::Target);
    for _ in 0..2 {
        let call = expect_payment(&mut world, SPARE, PAYMENT);
        world.open_calls.remove(&call);
        says_short(&mut world, TransferSide::Target, AVAILABLE);
    }
    stops(&mut world, &[SPARE]);
    let left = PAID_FACTOR_MAX * REQUIRED - 2 * PAYMENT;
    let limit = FundingLimit::CyclesPerTransfer;
    let expected = FundingShortage { shard: SPARE, limit, available: left.into(), required: PAYMENT.into() };
    assert_eq!(shortage(&world), Some(expected));
    assert_eq!(world.spending.in_day(world.now), 2 * PAYMENT);
}

#[test]
fn what_was_not_sent_is_not_counted() {
    let answers =
        [Answer::NotSent { reason: "queue".to_string() }, Answer::Reject { code: 5, message: "no".to_string() }];
    for answer in answers {
        let mut world = short_of_cycles(TransferSide::Source);
        for _ in 0..ATTEMPTS_MAX {
            let call = expect_payment(&mut world, SHARD, PAYMENT);
            world.answer(call, answer.clone());
        }
        stops(&mut world, &[SHARD, SPARE]);
        assert_eq!((paid(&world), world.spending.in_day(world.now)), ((0, 0), 0));
    }
}

#[test]
fn a_router_that_cannot_pay_says_so_and_pays_as_soon_as_it_can() {
    let mut world = short_of_cycles(TransferSide::Source);
    // What it keeps is out of reach: a call and the reserve.
    world.cycles = PAYMENT + 10 + 100 - 1;
    for _ in 0..3 {
        let before = world.now;
        says_nothing_is_paid(&mut world, before);
        let required = PAYMENT + 110;
        let limit = FundingLimit::RouterCycles;
        let expected =
            FundingShortage { shard: SHARD, limit, available: world.cycles.into(), required: required.into() };
        assert_eq!(shortage(&world), Some(expected));
    }
    world.cycles += 1;
    says_short(&mut world, TransferSide::Source, AVAILABLE);
    let call = expect_payment(&mut world, SHARD, PAYMENT);
    arrived(&mut world, call);
    assert_eq!(shortage(&world), None);
    let call = world.expect("begin_transfer", SHARD);
    world.reply(call, &BeginTransferResult::Ok(()));
    world.expect("transfer_progress", SHARD);
}

/// Has the machine find out that it can't pay, and ask the shard again a minute later.
fn says_nothing_is_paid(world: &mut World, before: u64) {
    says_short_after(world, before);
    assert!(world.payments.is_empty());
}

fn says_short_after(world: &mut World, before: u64) {
    says_short(world, TransferSide::Source, AVAILABLE);
    assert_eq!(world.now, before + RETRY_LAST_NANOSECONDS);
    // Its answer is understood, and the payment is looked at.
    world.advance();
    world.advance();
}

#[test]
fn cycles_that_somebody_else_sent_will_do() {
    let mut world = short_of_cycles(TransferSide::Source);
    world.cycles = 200;
    let call = world.expect("begin_transfer", SHARD);
    world.reply(call, &BeginTransferResult::Ok(()));
    world.expect("transfer_progress", SHARD);
    assert_eq!((paid(&world), shortage(&world)), ((0, 0), None));
}

#[test]
fn no_transfer_waits_for_cycles_for_ever() {
    let mut world = short_of_cycles(TransferSide::Source);
    world.cycles_per_day_max = PAYMENT - 1;
    let begun = world.now;
    let mut asked = 0;
    while let Some(send) = world.next_call() {
        if send.method == "cancel_transfer" {
            world.reply(send.call, &CancelTransferResult::Ok(TransferPhase::Ended(TransferEnd::Cancelled)));
            continue;
        }
        asked += 1;
        let short = TransferError::CyclesShort { available: AVAILABLE.into(), required: REQUIRED.into() };
        world.reply(send.call, &BeginTransferResult::Err(short));
    }
    assert_eq!(world.stage(), TransferStage::Ended(TransferEnd::Cancelled));
    assert!((59..=61).contains(&asked) && world.now - begun <= PATIENCE_NANOSECONDS + 60 * SECOND, "{asked}");
    let limit = FundingLimit::CyclesPerDay;
    let expected = FundingShortage { shard: SHARD, limit, available: (PAYMENT - 1).into(), required: PAYMENT.into() };
    assert_eq!(shortage(&world), Some(expected));
    let last_failure = world.transfers.status()[0].last_failure.clone().expect("it is told why");
    assert!(last_failure.contains("shard 0 lacks cycles: CyclesPerDay, 599 of 600"), "{last_failure}");
}

#[test]
fn transfers_that_pay_in_one_message_share_the_day_and_the_purse() {
    for (cycles, cycles_per_day_max) in [(10_000, 2 * PAYMENT - 1), (2 * PAYMENT + 2 * 10 + 100 - 1, 10_000)] {
        let part = |index| crate::transfers::tests::open(index, canopy_types::HashRange::FULL.part(index, 2).unwrap());
        let spare = |index| crate::transfers::tests::open(index, canopy_types::HashRange::EMPTY);
        let mut world = World::with(vec![part(0), part(1), spare(2), spare(3)]);
        world.cycles = 10_000;
        world.cycles_per_day_max = cycles_per_day_max;
        world.split(ShardIndex(0), None).unwrap();
        world.split(ShardIndex(1), None).unwrap();
        for _ in 0..2 {
            for send in world.advance_until_sent() {
                let short = TransferError::CyclesShort { available: AVAILABLE.into(), required: REQUIRED.into() };
                match send.method {
                    "info" => world.reply(send.call, &()),
                    _ => world.reply(send.call, &BeginTransferResult::Err(short)),
                }
            }
        }
        world.cycles = cycles;
        let sent = world.advance_until_sent();
        assert_eq!(sent.iter().map(|send| send.cycles).collect::<Vec<_>>(), [Some(PAYMENT)]);
        assert_eq!(world.spending.in_day(world.now), PAYMENT);
    }
}

#[test]
fn a_transfer_that_shall_stop_is_paid_for_no_more() {
    for side in [TransferSide::Target, TransferSide::Source] {
        let mut world = short_of_cycles(side);
        world.advance();
        let id = world.transfers.status()[0].id;
        world.transfers.stop(id, "enough").unwrap();
        let told = if side == TransferSide::Target { &[SPARE][..] } else { &[SHARD, SPARE][..] };
        stops(&mut world, told);
        assert_eq!(world.spending.in_day(world.now), 0);

        let mut world = short_of_cycles(side);
        let call = expect_payment(&mut world, shard_of(side), PAYMENT);
        world.transfers.stop(id, "enough").unwrap();
        arrived(&mut world, call);
        stops(&mut world, told);
    }
}

#[test]
fn a_source_that_runs_short_on_the_way_is_sent_more() {
    let (mut world, _) = World::splitting();
    world.cycles = 10_000;
    world.begin();
    let needs = CyclesNeed { available: AVAILABLE.into(), required: REQUIRED.into() };
    let short = TransferProgress { cycles: Some(needs), ..progress(TransferPhase::Copying) };
    let call = world.expect("transfer_progress", SHARD);
    world.reply(call, &TransferProgressResult::Ok(short.clone()));
    let call = expect_payment(&mut world, SHARD, PAYMENT);
    arrived(&mut world, call);
    world.hear(TransferPhase::Copying);
    assert_eq!((world.stage(), paid(&world)), (TransferStage::Moving, (PAYMENT, 0)));
    // While the router can't pay, the source is asked how it goes all the same.
    world.cycles = 50;
    let call = world.expect("transfer_progress", SHARD);
    world.reply(call, &TransferProgressResult::Ok(short));
    let call = world.expect("transfer_progress", SHARD);
    assert_eq!(shortage(&world).map(|shortage| shortage.limit), Some(FundingLimit::RouterCycles));
    world.reply(call, &TransferProgressResult::Ok(progress(TransferPhase::Ended(TransferEnd::Done))));
    assert_eq!(world.next_call(), None);
    assert_eq!((world.stage(), shortage(&world)), (TransferStage::Ended(TransferEnd::Done), None));
}
