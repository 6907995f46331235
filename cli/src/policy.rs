//! `policy`: what each caller may use, and when shards are split, merged and made ahead.

use canopy_types::limits::{
    GROWTH_CYCLES_PER_DAY_DEFAULT, SPLIT_AT_HEAP_BYTES_DEFAULT, SPLIT_AT_INSTRUCTIONS_PER_MINUTE_DEFAULT,
    SPLIT_AT_OPERATIONS_PER_MINUTE_DEFAULT, SPLIT_AT_RECORD_BYTES_DEFAULT, SPLIT_AT_STABLE_BYTES_DEFAULT,
    SPLITS_PER_HOUR_DEFAULT,
};
use canopy_types::policy::{Policy, PolicyResult, SetPolicyArguments, SetPolicyError, SetPolicyResult, UploadPolicy};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::administration::not_allowed;
use crate::connection::{Connection, Session};
use crate::failure::Failure;
use crate::quantity::{count, count_or_off, size, size_or_off, size_text};
use crate::shown::{grouped, print_line, print_table, table};

#[cfg(test)]
mod tests;

/// Milliseconds of a minute.
const MINUTE: u64 = 60_000;

/// What can be done about settings.
#[derive(Subcommand)]
pub enum PolicyCommand {
    /// Shows the settings, those that nobody has set with their defaults.
    #[command(after_help = "Examples:\n  canopy policy show\n  canopy policy show --json")]
    Show,
    /// Changes settings; what isn't named stays. `off` lifts a limit, or turns off what splits and merges.
    ///
    /// Sizes take units: 64KiB, 512MiB, 32GiB, 1TB. Counts do, too: 300k, 60G.
    #[command(
        arg_required_else_help = true,
        after_help = "Examples:\n  canopy policy set --operations-per-minute 6000\n  canopy policy set --bytes-per-minute off    \
                      lifts the limit\n  canopy policy set --split-at-record-bytes 16GiB --merge-below-record-bytes \
                      4GiB\n  canopy policy set --splits-per-hour off     splits nothing by itself\n  canopy policy set \
                      --spares 2"
    )]
    Set(Box<SetOptions>),
}

/// What `policy set` is given.
#[derive(Args)]
#[group(skip)]
pub struct SetOptions {
    #[command(flatten)]
    rates: RateSettings,
    #[command(flatten)]
    growth: GrowthSettings,
    #[command(flatten)]
    uploads: UploadSettings,
}

/// Settings of what each caller may use per minute.
#[derive(Args, Clone, Copy)]
#[command(next_help_heading = "Limits of each caller")]
#[group(skip)]
pub struct RateSettings {
    /// Updates that each caller may ask for per minute, 1 to 1,000,000,000, or `off`; a batch counts as its items.
    #[arg(long, value_name = "COUNT|off", value_parser = count_or_off)]
    operations_per_minute: Option<u64>,
    /// Bytes that each caller may send and be sent per minute, 2MiB to 1PiB, or `off`.
    #[arg(long, value_name = "SIZE|off", value_parser = size_or_off)]
    bytes_per_minute: Option<u64>,
}

/// Settings of when shards are split, merged and made ahead.
#[derive(Args, Clone, Copy)]
#[command(next_help_heading = "Growth")]
#[group(skip)]
pub struct GrowthSettings {
    /// Bytes of keys and values from which on a shard is split, 64KiB to 400GiB, or `off`; 32GiB at first.
    #[arg(long, value_name = "SIZE|off", value_parser = size_or_off)]
    split_at_record_bytes: Option<u64>,
    /// Bytes of stable memory in use from which on a shard is split, 1MiB to 450GiB, or `off`; 128GiB at first.
    #[arg(long, value_name = "SIZE|off", value_parser = size_or_off)]
    split_at_stable_bytes: Option<u64>,
    /// Bytes of memory of its code from which on a shard is split, 1MiB to 4GiB, or `off`, also for when the platform
    /// says that this memory is nearly used up; 2GiB at first.
    #[arg(long, value_name = "SIZE|off", value_parser = size_or_off)]
    split_at_heap_bytes: Option<u64>,
    /// Operations per minute, over three minutes, from which on a shard is split, 60 to 1G, or `off`; 300k at first.
    #[arg(long, value_name = "COUNT|off", value_parser = count_or_off)]
    split_at_operations_per_minute: Option<u64>,
    /// Instructions per minute, as well, 1M to 1T, or `off`; 60G at first.
    #[arg(long, value_name = "COUNT|off", value_parser = count_or_off)]
    split_at_instructions_per_minute: Option<u64>,
    /// How many shards may be split or merged within an hour without being asked for, 1 to 60, or `off`; 12 at first.
    #[arg(long, value_name = "COUNT|off", value_parser = count_or_off)]
    splits_per_hour: Option<u64>,
    /// Bytes of keys and values up to which two neighbours together are merged, at most half of what a shard is split at,
    /// or `off`; off at first.
    #[arg(long, value_name = "SIZE|off", value_parser = size_or_off)]
    merge_below_record_bytes: Option<u64>,
    /// How many empty shards there shall be at least, 1 to 64, or `off` for as many as the forecast asks for.
    #[arg(long, value_name = "COUNT|off", value_parser = count_or_off)]
    spares: Option<u64>,
    /// Cycles that may be spent within a day on spares, and on shards whose ranges change hands, 1T to 100000T, or `off`
    /// for none; 300T at first.
    #[arg(long, value_name = "COUNT|off", value_parser = count_or_off)]
    growth_cycles_per_day: Option<u64>,
}

/// Settings of uploads.
#[derive(Args, Clone, Copy)]
#[command(next_help_heading = "Uploads of large values")]
#[group(skip)]
pub struct UploadSettings {
    /// Uploads that each caller may have open, 1 to 4,096.
    #[arg(long, value_name = "COUNT", value_parser = count)]
    open_uploads: Option<u64>,
    /// Bytes that each caller may have in open uploads, 1MiB to 1PiB.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    open_upload_bytes: Option<u64>,
    /// Minutes for which an upload takes chunks, 1 to 43,200.
    #[arg(long, value_name = "MINUTES")]
    upload_minutes: Option<u64>,
    /// Minutes for which chunks stay once their value was replaced, 1 to 43,200.
    #[arg(long, value_name = "MINUTES")]
    chunk_minutes: Option<u64>,
}

/// A setting as it is shown.
struct Setting {
    name: &'static str,
    value: Option<u64>,
    unit: Unit,
    /// Whether nobody has set it.
    is_default: bool,
    /// What is said in place of 0, and of no value.
    when_off: &'static str,
}

/// What a setting counts.
#[derive(Clone, Copy)]
enum Unit {
    Number,
    Bytes,
    Milliseconds,
}

impl UploadSettings {
    fn is_any(self) -> bool {
        let settings = [self.open_uploads, self.open_upload_bytes, self.upload_minutes, self.chunk_minutes];
        settings.iter().any(Option::is_some)
    }

    fn change(self, policy: UploadPolicy) -> UploadPolicy {
        let milliseconds = |minutes: u64| minutes.saturating_mul(MINUTE);
        UploadPolicy {
            open_uploads_max: self.open_uploads.unwrap_or(policy.open_uploads_max),
            open_bytes_max: self.open_upload_bytes.unwrap_or(policy.open_bytes_max),
            open_milliseconds: self.upload_minutes.map_or(policy.open_milliseconds, milliseconds),
            kept_milliseconds: self.chunk_minutes.map_or(policy.kept_milliseconds, milliseconds),
        }
    }
}

/// Shows or changes the settings.
///
/// # Errors
/// What any call can end in, and what the router refuses.
pub async fn policy(connection: &Connection, command: PolicyCommand, json: bool) -> Result<(), Failure> {
    let session = connection.open().await?;
    let policy = match command {
        PolicyCommand::Show => ask(&session).await?,
        PolicyCommand::Set(settings) => {
            let SetOptions { rates, growth, uploads } = *settings;
            // The service takes all four together.
            let uploads = match uploads.is_any() {
                true => Some(uploads.change(ask(&session).await?.upload_policy())),
                false => None,
            };
            let arguments = SetPolicyArguments {
                operations_per_minute_max: rates.operations_per_minute,
                bytes_per_minute_max: rates.bytes_per_minute,
                split_at_record_bytes: growth.split_at_record_bytes,
                split_at_stable_bytes: growth.split_at_stable_bytes,
                split_at_heap_bytes: growth.split_at_heap_bytes,
                split_at_operations_per_minute: growth.split_at_operations_per_minute,
                split_at_instructions_per_minute: growth.split_at_instructions_per_minute,
                splits_per_hour_max: growth.splits_per_hour,
                merge_below_record_bytes: growth.merge_below_record_bytes,
                spares_min: growth.spares,
                growth_cycles_per_day_max: growth.growth_cycles_per_day,
                uploads,
            };
            session.call::<_, SetPolicyResult>("set_policy", &arguments).await?.map_err(refused)?
        }
    };
    show(&policy, json)
}

async fn ask(session: &Session) -> Result<Policy, Failure> {
    session.ask::<PolicyResult>("policy").await?.map_err(not_allowed)
}

fn show(policy: &Policy, json: bool) -> Result<(), Failure> {
    let settings = settings_of(policy);
    if json {
        let fields = settings.iter().map(|setting| (setting.name.to_string(), json!(setting.value)));
        return print_line(Value::Object(fields.collect()));
    }
    let mut lines = table(&["setting", "value"], 1);
    for setting in &settings {
        lines.add_row([setting.name.to_string(), setting.text()]);
    }
    print_table(&lines)
}

/// Lists the settings that hold. For machines, what was never set has its default, and 0 is never.
fn settings_of(policy: &Policy) -> Vec<Setting> {
    let limit = |name, value, unit| Setting { name, value, unit, is_default: false, when_off: "no limit" };
    let growth = |name, value: Option<u64>, default: u64, unit| Setting {
        name,
        value: Some(value.unwrap_or(default)),
        unit,
        is_default: value.is_none(),
        when_off: "off",
    };
    let upload = |name, value, unit| limit(name, Some(value), unit);
    let uploads = policy.upload_policy();
    vec![
        limit("operations_per_minute_max", policy.operations_per_minute_max, Unit::Number),
        limit("bytes_per_minute_max", policy.bytes_per_minute_max, Unit::Bytes),
        growth("split_at_record_bytes", policy.split_at_record_bytes, SPLIT_AT_RECORD_BYTES_DEFAULT, Unit::Bytes),
        growth("split_at_stable_bytes", policy.split_at_stable_bytes, SPLIT_AT_STABLE_BYTES_DEFAULT, Unit::Bytes),
        growth("split_at_heap_bytes", policy.split_at_heap_bytes, SPLIT_AT_HEAP_BYTES_DEFAULT, Unit::Bytes),
        growth(
            "split_at_operations_per_minute",
            policy.split_at_operations_per_minute,
            SPLIT_AT_OPERATIONS_PER_MINUTE_DEFAULT,
            Unit::Number,
        ),
        growth(
            "split_at_instructions_per_minute",
            policy.split_at_instructions_per_minute,
            SPLIT_AT_INSTRUCTIONS_PER_MINUTE_DEFAULT,
            Unit::Number,
        ),
        growth("splits_per_hour_max", policy.splits_per_hour_max, SPLITS_PER_HOUR_DEFAULT, Unit::Number),
        growth("merge_below_record_bytes", policy.merge_below_record_bytes, 0, Unit::Bytes),
        Setting {
            when_off: "as forecast",
            is_default: false,
            ..growth("spares_min", policy.spares_min, 0, Unit::Number)
        },
        Setting {
            when_off: "none",
            ..growth(
                "growth_cycles_per_day_max",
                policy.growth_cycles_per_day_max,
                GROWTH_CYCLES_PER_DAY_DEFAULT,
                Unit::Number,
            )
        },
        upload("open_uploads_max", uploads.open_uploads_max, Unit::Number),
        upload("open_upload_bytes_max", uploads.open_bytes_max, Unit::Bytes),
        upload("upload_open_milliseconds", uploads.open_milliseconds, Unit::Milliseconds),
        upload("chunks_kept_milliseconds", uploads.kept_milliseconds, Unit::Milliseconds),
    ]
}

impl Setting {
    fn text(&self) -> String {
        let value = match self.value.filter(|&value| value > 0) {
            Some(value) => self.unit.text(value),
            None => self.when_off.to_string(),
        };
        if self.is_default { format!("{value} (default)") } else { value }
    }
}

impl Unit {
    fn text(self, value: u64) -> String {
        match self {
            Self::Number => grouped(value),
            Self::Bytes => size_text(value),
            Self::Milliseconds if value.is_multiple_of(MINUTE) => format!("{} min", grouped(value / MINUTE)),
            Self::Milliseconds => format!("{} ms", grouped(value)),
        }
    }

    /// Tells by its name what a setting counts.
    fn of(setting: &str) -> Self {
        match setting {
            name if name.contains("bytes") => Self::Bytes,
            name if name.contains("milliseconds") => Self::Milliseconds,
            _ => Self::Number,
        }
    }
}

/// Says in words why nothing was set.
fn refused(error: SetPolicyError) -> Failure {
    match error {
        SetPolicyError::Unauthorised { caller } => Failure::refused(format!("{caller} is no administrator")),
        SetPolicyError::OutOfBounds { setting, value, value_min, value_max } => {
            let unit = Unit::of(&setting);
            // An upload without bounds can't be.
            let or_off = if setting.starts_with("uploads.") { "" } else { ", or off" };
            let bounds = format!("{} to {}", unit.text(value_min), unit.text(value_max));
            Failure::refused(format!("{setting} can't be {}: {bounds}{or_off}", unit.text(value)))
        }
        SetPolicyError::MergeAboveHalfOfSplit { merge_below_record_bytes, merge_below_record_bytes_max } => {
            Failure::refused(format!(
                "merge_below_record_bytes can't be {}: half of split_at_record_bytes, {}, at most",
                size_text(merge_below_record_bytes),
                size_text(merge_below_record_bytes_max)
            ))
        }
        SetPolicyError::MalformedArguments { reason } => Failure::network(reason),
    }
}
