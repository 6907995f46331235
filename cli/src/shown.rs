//! How keys, values and lists are read and shown, for people and for machines.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value, json};

use crate::failure::Failure;

#[cfg(test)]
mod tests;

/// Spaces between two columns of a table.
const COLUMN_GAP: u16 = 2;

/// Reads a key from the command line: as text, or in hexadecimal.
pub fn parse_key(text: &str, is_hex: bool) -> Result<Vec<u8>, Failure> {
    if !is_hex {
        return Ok(text.as_bytes().to_vec());
    }
    hex::decode(text).map_err(|error| Failure::local(format!("`{text}` is not hexadecimal: {error}")))
}

/// Shows a key in a line: as it is if that can be told apart, else with escapes.
pub fn key_text(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) if !text.contains('\\') && !text.chars().any(char::is_control) => text.to_string(),
        _ => key.escape_ascii().to_string(),
    }
}

/// Gives a key for machines: in hexadecimal always, and as text if it is text.
pub fn key_json(key: &[u8]) -> Map<String, Value> {
    let mut fields = Map::new();
    if let Ok(text) = std::str::from_utf8(key) {
        fields.insert("key".to_string(), json!(text));
    }
    fields.insert("key_hex".to_string(), json!(hex::encode(key)));
    fields
}

/// Gives bytes for machines.
pub fn value_json(value: &[u8]) -> Value {
    json!(STANDARD.encode(value))
}

/// Prints a line on stdout.
///
/// # Errors
/// When nobody reads it any more, or a file is full.
pub fn print_line(line: impl std::fmt::Display) -> Result<(), Failure> {
    print_bytes(format!("{line}\n").as_bytes())
}

/// Prints a table on stdout.
///
/// # Errors
/// As for `print_line`.
pub fn print_table(table: &Table) -> Result<(), Failure> {
    print_line(table.trim_fmt())
}

/// Prints bytes on stdout.
///
/// # Errors
/// As for `print_line`.
pub fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    let written = output.write_all(bytes).and_then(|()| output.flush());
    written.map_err(|error| Failure::local(format!("can't write the output: {error}")))
}

/// Asks before something is destroyed.
///
/// # Errors
/// When the answer is no, or nobody can be asked.
pub async fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::local(format!("nobody can be asked: {question} (give --yes to answer yes)")));
    }
    eprint!("{question} [y/N] ");
    // On a thread of its own, so that Ctrl-C is heard meanwhile.
    let asked = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map(|_| answer)
    });
    let answer = asked.await.map_err(io::Error::from).flatten();
    let answer = answer.map_err(|error| Failure::local(format!("can't read the answer: {error}")))?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::local("left as it is")),
    }
}

/// Makes a table without lines, whose columns from `numbers` on are numbers.
pub fn table(header: &[&str], numbers: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, COLUMN_GAP));
        if index >= numbers {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Writes a number with commas between groups of three digits.
pub fn grouped(number: impl ToString) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits are ASCII")).collect();
    groups.join(",")
}

/// Says how long ago something was, by this machine's clock; no time at all when that is behind.
pub fn ago(nanoseconds: u64) -> String {
    let passed = now().duration_since(moment(nanoseconds)).unwrap_or_default();
    format!("{} ago", duration_text(passed.as_secs()))
}

/// Says how long it is until something, by this machine's clock; no time at all when it is over.
pub fn from_now(nanoseconds: u64) -> String {
    let left = moment(nanoseconds).duration_since(now()).unwrap_or_default();
    duration_text(left.as_secs())
}

#[expect(clippy::disallowed_methods, reason = "a program outside has the machine's clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn moment(nanoseconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds)
}

/// Shows a time in the greatest unit of which there are two.
pub fn duration_text(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("min", 60)];
    let (unit, length) = units.into_iter().find(|(_, length)| seconds >= 2 * length).unwrap_or(("s", 1));
    format!("{} {unit}", grouped(seconds / length))
}

/// Makes a bar of so many bytes on stderr, shown to people only.
pub fn bar(name: &'static str, bytes: u64, json: bool) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:40} {binary_bytes}/{binary_total_bytes} {elapsed} {msg}")
        .expect("the template is well formed");
    hidden_from_machines(ProgressBar::new(bytes), json).with_style(style).with_prefix(name)
}

/// Makes a bar of so many records on stderr, shown to people only.
pub fn bar_of(name: &'static str, records: u64, json: bool) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:40} {human_pos}/{human_len} {elapsed}")
        .expect("the template is well formed");
    hidden_from_machines(ProgressBar::new(records), json).with_style(style).with_prefix(name)
}

/// Makes a display of progress whose end isn't known.
pub fn spinner(name: &'static str, json: bool) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix} {spinner} {elapsed} {msg}").expect("the template is well formed");
    hidden_from_machines(ProgressBar::new_spinner(), json).with_style(style).with_prefix(name)
}

/// Hides progress where machines are told.
pub fn hidden_from_machines(bar: ProgressBar, json: bool) -> ProgressBar {
    if json {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}
