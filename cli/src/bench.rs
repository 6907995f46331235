//! `bench`: puts, gets and deletes records of its own on a network, and shows how long that took and what it cost.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use canopy_client::transport::AgentTransport;
use canopy_client::{Client, Delete, NotDone, Put, Record, Write, WriteError};
use canopy_types::limits::VALUE_BYTES_MAX;
use canopy_types::shard::ShardInfoResult;
use clap::Args;
use futures_util::stream::{self, StreamExt};
use rand::RngExt;
use serde_json::{Map, Value, json};

use crate::connection::{Connection, Session};
use crate::failure::{Failure, Kind};
use crate::records::settled;
use crate::shown::{bar_of, grouped, print_line, print_table, table};
use crate::transfers::status_of;

#[cfg(test)]
mod tests;

const RECORDS: RangeInclusive<u64> = 1..=1_000_000;
const VALUE_BYTES: RangeInclusive<u64> = 0..=VALUE_BYTES_MAX as u64;
const BATCH: RangeInclusive<u64> = 1..=1_000;
const WINDOW: RangeInclusive<u64> = 1..=256;

/// What to store, and how.
#[derive(Args)]
pub struct BenchOptions {
    /// Records to put, get and delete, 1 to 1,000,000.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(RECORDS))]
    records: u64,
    /// Bytes of each value, 0 to 1 MiB; they are drawn at random.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(VALUE_BYTES))]
    value_bytes: u64,
    /// Records per call, 1 to 1,000.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(BATCH))]
    batch: u64,
    /// Calls under way at the same time, 1 to 256.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(WINDOW))]
    window: u64,
    /// Leave the records there, and say where.
    #[arg(long)]
    keep: bool,
}

/// How one kind of operation went.
struct Phase {
    name: &'static str,
    operations: u64,
    failures: u64,
    first_failure: Option<Failure>,
    took: Duration,
    /// Of each call, in ascending order.
    latencies: Vec<Duration>,
}

/// Runs the benchmark.
///
/// # Errors
/// [`Kind::Incomplete`] when an operation failed or a value came back changed, besides what any call can end in.
pub async fn run(connection: &Connection, options: BenchOptions, json: bool) -> Result<(), Failure> {
    let session = connection.open().await?;
    let prefix = format!("canopy-bench/{:08x}/", rand::rng().random::<u32>());
    // Before anything is put, so that whoever ends this knows what to look for.
    if json {
        print_line(json!({ "prefix": prefix }))?;
    } else {
        eprintln!("records are put under {prefix}");
    }
    let before = cycles(&session).await;
    let mut phases = vec![
        phase("put", &session.client, &options, &prefix, json).await,
        phase("get", &session.client, &options, &prefix, json).await,
    ];
    if !options.keep {
        phases.push(phase("delete", &session.client, &options, &prefix, json).await);
    }
    let used = before.zip(cycles(&session).await).map(|(before, after)| before.saturating_sub(after));
    tell(&phases, &options, used, json)?;
    let failures: u64 = phases.iter().map(|phase| phase.failures).sum();
    match phases.into_iter().find_map(|phase| phase.first_failure) {
        None => Ok(()),
        Some(first) => {
            let message = format!("{failures} operations failed, the first with: {first}");
            Err(Failure::new(Kind::Incomplete, message).with_advice(format!("records under {prefix} may be left")))
        }
    }
}

async fn phase(
    name: &'static str,
    client: &Client<AgentTransport>,
    options: &BenchOptions,
    prefix: &str,
    json: bool,
) -> Phase {
    let bar = bar_of(name, options.records, json);
    let begun = Instant::now();
    let firsts = (0..options.records).step_by(options.batch as usize);
    let calls = firsts.map(|first| {
        let numbers = first..options.records.min(first + options.batch);
        let bar = &bar;
        async move {
            let (count, begun) = (numbers.end - numbers.start, Instant::now());
            let keys = numbers.map(|number| format!("{prefix}{number}").into_bytes()).collect();
            let failed = call(name, client, keys, options.value_bytes as usize).await;
            bar.inc(count);
            (count, begun.elapsed(), failed)
        }
    });
    let ended: Vec<_> = stream::iter(calls).buffer_unordered(options.window as usize).collect().await;
    bar.finish_and_clear();
    let mut latencies: Vec<Duration> = ended.iter().map(|(_, latency, _)| *latency).collect();
    latencies.sort();
    Phase {
        name,
        operations: ended.iter().map(|(count, ..)| count).sum(),
        failures: ended.iter().map(|(.., failed)| failed.len() as u64).sum(),
        first_failure: ended.into_iter().find_map(|(.., failed)| failed.into_iter().next()),
        took: begun.elapsed(),
        latencies,
    }
}

/// Does one call's worth of operations, and gives the failures among them.
async fn call(name: &str, client: &Client<AgentTransport>, keys: Vec<Vec<u8>>, value_bytes: usize) -> Vec<Failure> {
    match name {
        "put" => {
            let puts = keys.iter().map(|key| Put::new(&key[..], value_of(key, value_bytes)).if_absent());
            failures_of(client, client.put_many(puts.collect()).await, keys.len()).await
        }
        "get" => match client.get_many(&keys).await {
            Err(not_done) => vec![not_done.into(); keys.len()],
            Ok(got) => keys.iter().zip(got).filter_map(|(key, got)| read_failure(key, got, value_bytes)).collect(),
        },
        _ => {
            let deletes = keys.iter().map(|key| Delete::new(&key[..]));
            failures_of(client, client.delete_many(deletes.collect()).await, keys.len()).await
        }
    }
}

/// How each write of a call ended.
type Written<W, D> = Vec<Result<D, WriteError<W>>>;

/// Settles a call's writes, and gives the failures among them.
async fn failures_of<W: Write>(
    client: &Client<AgentTransport>,
    results: Result<Written<W, W::Done>, NotDone>,
    count: usize,
) -> Vec<Failure> {
    let results = match results {
        Ok(results) => results,
        Err(not_done) => return vec![not_done.into(); count],
    };
    let mut failures = vec![];
    for result in results {
        failures.extend(settled(client, result).await.err());
    }
    failures
}

fn read_failure(key: &[u8], got: Result<Option<Record>, NotDone>, value_bytes: usize) -> Option<Failure> {
    match got {
        Err(not_done) => Some(not_done.into()),
        Ok(Some(record)) if record.value == value_of(key, value_bytes) => None,
        Ok(_) => Some(Failure::new(Kind::Incomplete, "a value didn't come back as it was put")),
    }
}

/// Draws a value that its key determines, so that it can be checked without being kept.
fn value_of(key: &[u8], bytes: usize) -> Vec<u8> {
    let mut seed = [0; 32];
    let length = key.len().min(seed.len());
    seed[..length].copy_from_slice(&key[key.len() - length..]);
    let mut value = vec![0; bytes];
    rand::Rng::fill_bytes(&mut <rand::rngs::StdRng as rand::SeedableRng>::from_seed(seed), &mut value);
    value
}

/// Adds up the cycles of router and shards; `None` if the caller may not know them.
async fn cycles(session: &Session) -> Option<u128> {
    let status = status_of(session).await.ok()?;
    let mut sum = u128::try_from(status.cycles.0).ok()?;
    for shard in status.shards.iter().filter_map(|shard| shard.canister) {
        let info = session.ask_canister::<ShardInfoResult>(shard, "info").await.ok()?.ok()?;
        sum += u128::try_from(info.cycles.0).ok()?;
    }
    Some(sum)
}

fn tell(phases: &[Phase], options: &BenchOptions, used: Option<u128>, json: bool) -> Result<(), Failure> {
    if json {
        for phase in phases {
            let mut fields = Map::new();
            fields.insert("phase".to_string(), json!(phase.name));
            fields.insert("operations".to_string(), json!(phase.operations));
            fields.insert("failures".to_string(), json!(phase.failures));
            fields.insert("operations_per_second".to_string(), json!(phase.per_second()));
            fields.insert("call_median_milliseconds".to_string(), json!(phase.latency(50)));
            fields.insert("call_99_milliseconds".to_string(), json!(phase.latency(99)));
            print_line(Value::Object(fields))?;
        }
        return used.map_or(Ok(()), |cycles| print_line(json!({ "cycles_used_meanwhile": cycles.to_string() })));
    }
    let mut lines = table(&["operation", "done", "failed", "per second", "KiB/s", "call, median", "call, 99 %"], 1);
    for phase in phases {
        let bytes_per_second = phase.per_second() * options.value_bytes as f64;
        let moves = phase.name != "delete";
        lines.add_row([
            phase.name.to_string(),
            grouped(phase.operations - phase.failures),
            grouped(phase.failures),
            grouped(phase.per_second().round()),
            if moves { grouped((bytes_per_second / 1_024.0).round()) } else { "-".to_string() },
            format!("{} ms", grouped(phase.latency(50))),
            format!("{} ms", grouped(phase.latency(99))),
        ]);
    }
    print_table(&lines)?;
    match used {
        Some(cycles) => print_line(format!(
            "cycles of router and shards used meanwhile, whoever used them: {} ({} per record)",
            grouped(cycles),
            grouped(cycles / u128::from(options.records))
        )),
        None => Ok(()),
    }
}

impl Phase {
    fn per_second(&self) -> f64 {
        self.operations as f64 / self.took.as_secs_f64().max(0.001)
    }

    /// The latency in milliseconds that so many percent of the calls don't exceed.
    fn latency(&self, percent: usize) -> u64 {
        let place = (self.latencies.len() * percent).div_ceil(100).max(1) - 1;
        self.latencies.get(place).map_or(0, |latency| latency.as_millis() as u64)
    }
}
