//! What `status` and `shard show` tell of growth: what the router expects, decided, and can't do.

use canopy_types::funding::{FundingLimit, FundingShortage};
use canopy_types::growth::{GrowthAction, GrowthDecision, GrowthNotice, GrowthReason, GrowthStatus, ShardForecast};
use serde_json::{Value, json};

use crate::quantity::size_text;
use crate::shown::{ago, duration_text, grouped};

#[cfg(test)]
mod tests;

/// Decisions that people are shown, the latest.
const DECISIONS_SHOWN_MAX: usize = 3;

/// Tells in lines what the router decided last, and what is in its way.
pub fn lines(growth: &GrowthStatus) -> Vec<String> {
    let decisions = growth.decisions.iter().rev().take(DECISIONS_SHOWN_MAX).rev();
    let decisions = decisions.map(|decision| format!("{}: {}", ago(decision.at_nanoseconds), decision_text(decision)));
    decisions.chain(growth.notices.iter().map(|notice| format!("notice: {}", notice_text(notice)))).collect()
}

/// Says what was decided, and why.
fn decision_text(decision: &GrowthDecision) -> String {
    let GrowthDecision { action, reason, value, threshold, .. } = decision;
    let (value, threshold) = match reason {
        GrowthReason::RecordBytes
        | GrowthReason::StableBytes
        | GrowthReason::HeapBytes
        | GrowthReason::LowMemory
        | GrowthReason::OutOfSpace
        | GrowthReason::LittleHeld => (size_text(*value), size_text(*threshold)),
        _ => (grouped(value), grouped(threshold)),
    };
    let action = match action {
        GrowthAction::Split { shard } => format!("shard {} is split", shard.0),
        GrowthAction::Merge { shard, into } => format!("shard {} is merged into shard {}", shard.0, into.0),
        GrowthAction::MakeSpares { count } => format!("{count} spares are made"),
        GrowthAction::Fund { shard, cycles } => format!("shard {} is sent {} cycles", shard.0, grouped(cycles)),
    };
    let why = match reason {
        GrowthReason::RecordBytes => format!("{value} of records, and the policy splits at {threshold}"),
        GrowthReason::StableBytes => format!("{value} of stable memory, and the policy splits at {threshold}"),
        GrowthReason::HeapBytes => format!("{value} of memory of its code, and the policy splits at {threshold}"),
        GrowthReason::LowMemory => format!("{value} of memory of its code, which the platform calls low"),
        GrowthReason::OutOfSpace => format!("memory could not be added to {value}"),
        GrowthReason::Operations => format!("{value} operations a minute, and the policy splits at {threshold}"),
        GrowthReason::Instructions => format!("{value} instructions a minute, and the policy splits at {threshold}"),
        GrowthReason::LittleHeld => format!("together they hold {value}, and the policy merges below {threshold}"),
        GrowthReason::Spares => format!("there were {value}, and {threshold} are wanted"),
        GrowthReason::SendsRange => format!("it can spend {value}, and sending its range needs {threshold}"),
        GrowthReason::HoldsRange => format!("it can spend {value}, and holding its range needs {threshold}"),
    };
    format!("{action}: {why}")
}

/// Says what is in the way, and what to do about it.
fn notice_text(notice: &GrowthNotice) -> String {
    match notice {
        GrowthNotice::SplitsPerHourReached { splits_per_hour_max } => format!(
            "{splits_per_hour_max} splits and merges were made within an hour, and the policy lets no more: canopy policy \
             set --splits-per-hour"
        ),
        GrowthNotice::Refused { shard, reason } => format!("shard {} is to be split, but: {reason}", shard.0),
        GrowthNotice::ReservedCycles { shard, reserved, limit } => format!(
            "shard {} gets no memory: {} cycles are reserved, of {} that may be; raise its reserved_cycles_limit",
            shard.0,
            grouped(&reserved.0),
            grouped(&limit.0)
        ),
        GrowthNotice::HotKey { shard } => {
            format!("one key, or a few, make most of the load of shard {}, which no split would lighten", shard.0)
        }
        GrowthNotice::CyclesShort(shortage) => shortage_text(shortage),
    }
}

/// Says which cycles are lacking, and what to do about it.
fn shortage_text(shortage: &FundingShortage) -> String {
    let FundingShortage { shard, limit, available, required } = shortage;
    let (available, required) = (grouped(&available.0), grouped(&required.0));
    let what = match limit {
        FundingLimit::RouterCycles => format!("the router has {available} for that: top it up"),
        FundingLimit::CyclesPerDay => {
            format!("the policy leaves {available} of those of a day: canopy policy set --growth-cycles-per-day")
        }
        FundingLimit::CyclesPerTransfer => format!("{available} are left of those that one transfer may be sent"),
    };
    format!("shard {} needs {required} cycles, and {what}", shard.0)
}

/// Says when a shard is split, as far as that is known.
pub fn forecast_text(forecast: &ShardForecast) -> String {
    let at = match forecast.split_at_record_bytes {
        Some(bytes) => format!("at {} of records", size_text(bytes)),
        None => "never for its records".to_string(),
    };
    match forecast.seconds_until_split {
        Some(seconds) => format!("{at}; as it fills now, in {}", duration_text(seconds)),
        None => at,
    }
}

/// Gives all of it for machines.
pub fn growth_json(growth: &GrowthStatus) -> Value {
    let shards: Vec<Value> = growth
        .shards
        .iter()
        .map(|forecast| {
            json!({
                "index": forecast.shard.0,
                "read_at_nanoseconds": forecast.read_at_nanoseconds,
                "split_at_record_bytes": forecast.split_at_record_bytes,
                "bytes_until_split": forecast.bytes_until_split,
                "seconds_until_split": forecast.seconds_until_split,
                "seconds_until_out_of_cycles": forecast.seconds_until_out_of_cycles,
                "operations_per_minute": forecast.operations_per_minute,
                "instructions_per_minute": forecast.instructions_per_minute,
            })
        })
        .collect();
    let decisions: Vec<Value> = growth
        .decisions
        .iter()
        .map(|decision| {
            json!({
                "at_nanoseconds": decision.at_nanoseconds,
                "message": decision_text(decision),
                "transfer": decision.transfer.map(|id| id.to_string()),
            })
        })
        .collect();
    json!({
        "spares": growth.spares,
        "spares_wanted": growth.spares_wanted,
        "cycles_in_day": growth.cycles_in_day.as_ref().map(ToString::to_string),
        "shards": shards,
        "decisions": decisions,
        "notices": growth.notices.iter().map(notice_text).collect::<Vec<_>>(),
    })
}
