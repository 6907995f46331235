//! Operators of a module as they are charged at its installation: counted after the platform has instrumented the code.
//!
//! The platform's instrumentation adds to each block that costs something its charge, to each function and loop a
//! check of the counter, and to each module support code for stable and bulk memory. A module of 655 operators was
//! charged for 2,130 on a real server (`ic-facts.md` 9; conformance case `management.whole_shard`).

use wasmparser::{BinaryReaderError, OperatorsReader, Parser, Payload};

use super::costs::ends_block;

/// Read the counter, load the cost, subtract, write the counter.
const CHARGE_OPERATORS: u64 = 4;
/// Read the counter, compare it with 0, stop if it is below.
const CHECK_OPERATORS: u64 = 6;
/// The initial value of a global, and its end.
const GLOBAL_OPERATORS: u64 = 2;
/// Support code: what is left of the recorded number after everything else is counted.
const SUPPORT_OPERATORS: u64 = 339;

/// Counts the operators of a valid module.
pub fn operators(wasm: &[u8]) -> Result<u64, BinaryReaderError> {
    let mut count = SUPPORT_OPERATORS;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::GlobalSection(globals) => count += GLOBAL_OPERATORS * u64::from(globals.count()),
            Payload::CodeSectionEntry(body) => count += body_operators(body.get_operators_reader()?)?,
            _ => {}
        }
    }
    Ok(count)
}

fn body_operators(mut reader: OperatorsReader) -> Result<u64, BinaryReaderError> {
    use wasmparser::Operator::*;
    // Entering a function costs something, so that its first block is always charged.
    let (mut count, mut costs) = (CHECK_OPERATORS, true);
    while !reader.eof() {
        let operator = reader.read()?;
        count += 1;
        costs |= !matches!(operator, Block { .. } | Loop { .. } | Else | End);
        if ends_block(&operator) {
            count += if costs { CHARGE_OPERATORS } else { 0 };
            costs = false;
        }
        if matches!(operator, Loop { .. }) {
            count += CHECK_OPERATORS;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(source: &str) -> u64 {
        operators(&wat::parse_str(source).expect("wat")).expect("readable") - SUPPORT_OPERATORS
    }

    #[test]
    fn a_function_is_charged_and_checked_at_its_entry() {
        assert_eq!(count("(module)"), 0);
        assert_eq!(count("(module (func))"), 1 + CHARGE_OPERATORS + CHECK_OPERATORS);
        assert_eq!(count("(module (global i32 (i32.const 0)))"), GLOBAL_OPERATORS);
    }

    #[test]
    fn only_blocks_that_cost_something_are_charged() {
        // loop, end, end; the loop's own block is empty.
        assert_eq!(count("(module (func (loop)))"), 3 + CHARGE_OPERATORS + 2 * CHECK_OPERATORS);
        // loop, const, drop, end, end.
        assert_eq!(
            count("(module (func (loop (drop (i32.const 0)))))"),
            5 + 2 * CHARGE_OPERATORS + 2 * CHECK_OPERATORS
        );
    }
}
