//! Cycles for the ends of a transfer: each says what it lacks, is sent that, and is asked again.
//!
//! ```text
//! TellingTarget <-> FundingTarget      TellingSource <-> FundingSource <-> Moving
//! ```
//!
//! Only a shard's own word moves the machine on: so whether a payment whose answer was lost has arrived is seen from what
//! the shard has then. What it is sent is bounded besides, for the transfer and for the day.

use candid::CandidType;
use canopy_types::funding::{FundingLimit, FundingShortage, FundingStatus};
use canopy_types::growth::{GrowthAction, GrowthDecision, GrowthReason};
use canopy_types::limits::bounded_reason;
use canopy_types::transfer::{TransferSide, TransferStage};
use canopy_types::{ShardIndex, TransferId};
use serde::Deserialize;

use super::running::{Next, RETRY_LAST_NANOSECONDS, Running};
use crate::funding::{Purse, Spending};
use crate::journal::Answer;

#[cfg(test)]
mod tests;

/// A payment is greater than what is lacked by this part of what is needed, because a shard goes on spending.
const MARGIN_PARTS: u128 = 8;

/// All that is sent to one end, in what it needed at most.
const PAID_FACTOR_MAX: u128 = 2;

/// How long a transfer waits for cycles before it is cancelled: 1 hour.
const PATIENCE_NANOSECONDS: u64 = 3_600_000_000_000;

/// What both ends lack and were sent. New fields are optional.
#[derive(CandidType, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Funding {
    source: Account,
    target: Account,
    shortage: Option<FundingShortage>,
    /// Since when there is a shortage, in nanoseconds.
    short_since: Option<u64>,
}

/// One end's.
#[derive(CandidType, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
struct Account {
    /// What it could spend, and needed, when it last said so.
    available: u128,
    required: u128,
    /// The most that it ever needed.
    required_most: u128,
    /// Cycles that were sent, those whose answer was lost included.
    paid: u128,
}

/// A payment whose call is open.
#[derive(CandidType, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Paid {
    cycles: u128,
    /// When it was counted, in nanoseconds.
    at: u64,
}

/// A payment that is made in this message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    pub shard: ShardIndex,
    pub side: TransferSide,
    pub cycles: u128,
    /// What the shard could spend, and needs.
    pub available: u128,
    pub required: u128,
}

impl Funding {
    /// Tells what was sent, and what is short.
    pub fn status(&self) -> FundingStatus {
        FundingStatus {
            source_cycles: self.source.paid.into(),
            target_cycles: self.target.paid.into(),
            shortage: self.shortage.clone(),
        }
    }

    fn account(&mut self, side: TransferSide) -> &mut Account {
        match side {
            TransferSide::Source => &mut self.source,
            TransferSide::Target => &mut self.target,
        }
    }
}

impl Payment {
    /// Says why the payment is made, at `at` (nanoseconds), for the memory of decisions.
    pub fn decision(&self, transfer: TransferId, at: u64) -> GrowthDecision {
        let number = |cycles: u128| u64::try_from(cycles).unwrap_or(u64::MAX);
        GrowthDecision {
            at_nanoseconds: at,
            action: GrowthAction::Fund { shard: self.shard, cycles: number(self.cycles) },
            reason: match self.side {
                TransferSide::Source => GrowthReason::SendsRange,
                TransferSide::Target => GrowthReason::HoldsRange,
            },
            value: number(self.available),
            threshold: number(self.required),
            transfer: Some(transfer),
        }
    }
}

impl Paid {
    /// Notes a payment that is made at `at` (nanoseconds).
    pub fn new(payment: &Payment, at: u64) -> Self {
        Self { cycles: payment.cycles, at }
    }
}

impl Running {
    /// Goes on to send an end what it lacks.
    pub(super) fn lacks(&mut self, side: TransferSide, available: u128, required: u128, now: u64) -> Next {
        let account = self.funding.get_or_insert_default().account(side);
        let required_most = account.required_most.max(required);
        *account = Account { available, required, required_most, paid: account.paid };
        self.continue_with(
            match side {
                TransferSide::Source => TransferStage::FundingSource,
                TransferSide::Target => TransferStage::FundingTarget,
            },
            now,
        )
    }

    /// Sends the end whose turn it is what it lacks, if that may be.
    pub(super) fn fund(&mut self, purse: &mut Purse) -> Next {
        let (side, shard) = self.funded_end();
        let funding = self.funding.get_or_insert_default();
        let account = funding.account(side);
        let Account { available, required, required_most, paid } = *account;
        let cycles = required.saturating_sub(available).saturating_add(required / MARGIN_PARTS);
        let left = required_most.saturating_mul(PAID_FACTOR_MAX).saturating_sub(paid);
        let limit = FundingLimit::CyclesPerTransfer;
        let checked = if cycles > left {
            Err(FundingShortage { shard, limit, available: left.into(), required: cycles.into() })
        } else {
            purse.check(shard, cycles)
        };
        match checked {
            Ok(()) => {
                purse.spend(cycles);
                account.paid = paid.saturating_add(cycles);
                self.forget_shortage();
                Next::Pay(Payment { shard, side, cycles, available, required })
            }
            Err(shortage) => self.await_cycles(shortage, purse.now),
        }
    }

    /// Goes on after a payment's call has ended, or was lost.
    pub(super) fn paid(&mut self, paid: &Paid, answer: Option<Answer>, spending: &mut Spending, now: u64) -> Next {
        let (side, _) = self.funded_end();
        let refused = match answer {
            Some(Answer::Reject { code: code @ 1..=5, message }) => format!("reject {code}: {message}"),
            Some(Answer::NotSent { reason }) => reason,
            // It arrived; or nobody knows, and what the shard has will show.
            Some(Answer::Reply(_) | Answer::Reject { .. }) | None => return self.continue_with(self.asking(), now),
        };
        spending.take_back(paid.cycles, paid.at);
        let account = self.funding.get_or_insert_default().account(side);
        account.paid = account.paid.saturating_sub(paid.cycles);
        self.fail(&refused, now)
    }

    /// Notes that no end lacks anything.
    pub(super) fn forget_shortage(&mut self) {
        if let Some(funding) = &mut self.funding {
            (funding.shortage, funding.short_since) = (None, None);
        }
    }

    /// Waits for cycles, and gives up after a while. Until then the shard is asked again: others may have sent it some.
    fn await_cycles(&mut self, shortage: FundingShortage, now: u64) -> Next {
        let FundingShortage { shard, limit, available, required } = &shortage;
        let reason = format!("shard {} lacks cycles: {limit:?}, {available} of {required}", shard.0);
        let for_good = *limit == FundingLimit::CyclesPerTransfer;
        let funding = self.funding.get_or_insert_default();
        let since = *funding.short_since.get_or_insert(now);
        funding.shortage = Some(shortage);
        if for_good || now.saturating_sub(since) >= PATIENCE_NANOSECONDS {
            self.stop.get_or_insert_with(|| bounded_reason(&reason));
            return Next::At(now);
        }
        self.go_to(self.asking());
        let at = now + RETRY_LAST_NANOSECONDS;
        self.retry_at = Some(at);
        self.last_failure = Some(reason);
        Next::At(at)
    }

    fn funded_end(&self) -> (TransferSide, ShardIndex) {
        match self.stage {
            TransferStage::FundingTarget => (TransferSide::Target, self.target),
            TransferStage::FundingSource => (TransferSide::Source, self.source),
            other => unreachable!("INVARIANT: nobody is sent cycles while the stage is {other:?}"),
        }
    }

    /// Tells the stage in which the end whose turn it is says what it has.
    fn asking(&self) -> TransferStage {
        match self.stage {
            TransferStage::FundingTarget => TransferStage::TellingTarget,
            // Only a source that has begun has told how it goes.
            _ if self.progress.is_some() => TransferStage::Moving,
            _ => TransferStage::TellingSource,
        }
    }
}
