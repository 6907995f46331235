//! Numbers as people write them: `32GiB`, `60G`, `off`.

use std::fmt;

#[cfg(test)]
mod tests;

/// Units of bytes. Those that are a power of 1,024 come first: sizes are shown in them.
const BYTE_UNITS: [(&str, u64); 11] = [
    ("PiB", 1 << 50),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("PB", 1_000_000_000_000_000),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// The units of bytes in which sizes are shown.
const SHOWN_UNITS: usize = 5;

/// Units of counts.
const COUNT_UNITS: [(&str, u64); 4] = [("T", 1_000_000_000_000), ("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)];

/// What turns a setting off. The service calls that 0.
const OFF: &str = "off";

/// Why a text is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantityError {
    /// It isn't whole digits and perhaps a unit of bytes.
    NoSize,
    /// It isn't whole digits and perhaps a unit of counts.
    NoCount,
    /// No setting is that large.
    TooLarge,
}

impl fmt::Display for QuantityError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSize => {
                write!(formatter, "a size is a whole number of bytes, or of KiB, MiB, GiB, TiB, kB, MB, GB")
            }
            Self::NoCount => write!(formatter, "a count is a whole number, or one of k, M, G, T"),
            Self::TooLarge => write!(formatter, "that is more than {} and no setting takes it", u64::MAX),
        }
    }
}

impl std::error::Error for QuantityError {}

/// Reads a number of bytes.
///
/// # Errors
/// As the variants say.
pub fn size(text: &str) -> Result<u64, QuantityError> {
    read(text, &BYTE_UNITS).ok_or(QuantityError::NoSize)?
}

/// Reads a number of bytes, or `off`.
///
/// # Errors
/// As for `size`.
pub fn size_or_off(text: &str) -> Result<u64, QuantityError> {
    if text.eq_ignore_ascii_case(OFF) { Ok(0) } else { size(text) }
}

/// Reads a number.
///
/// # Errors
/// As the variants say.
pub fn count(text: &str) -> Result<u64, QuantityError> {
    read(text, &COUNT_UNITS).ok_or(QuantityError::NoCount)?
}

/// Reads a number, or `off`.
///
/// # Errors
/// As for `count`.
pub fn count_or_off(text: &str) -> Result<u64, QuantityError> {
    if text.eq_ignore_ascii_case(OFF) { Ok(0) } else { count(text) }
}

/// Shows a number of bytes in the greatest unit in which it is whole.
pub fn size_text(bytes: u64) -> String {
    let whole = BYTE_UNITS[..SHOWN_UNITS].iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    match whole {
        Some((name, unit)) => format!("{} {name}", crate::shown::grouped(bytes / unit)),
        None => format!("{} bytes", crate::shown::grouped(bytes)),
    }
}

/// Splits the unit off and multiplies; `None` for what is neither digits nor one of the units.
fn read(text: &str, units: &[(&str, u64)]) -> Option<Result<u64, QuantityError>> {
    let digits_end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    if digits.is_empty() {
        return None;
    }
    let unit = match unit.trim_start() {
        "" => 1,
        name => units.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?.1,
    };
    // All digits, so only their number can be wrong.
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    Some(number.ok_or(QuantityError::TooLarge))
}
