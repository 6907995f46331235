//! What operations may cost at most, as the store was designed for.

use super::names;
use crate::results::{Key, Measure, Structure};

/// Budgets for values of up to 100 B and of 1 KiB.
type Pair = [u64; 2];

/// Instructions in a batch and alone. Zipfian draws have none: where a few hot records lie in their pages decides, and
/// hot puts heap up receipts.
const STORE: [(&str, Pair, Pair); 6] = [
    (names::GET, [3_000, 4_000], [3_500, 4_500]),
    (names::GET_MISSING, [3_000, 4_000], [3_500, 4_500]),
    (names::PUT_FRESH, [10_000, 13_000], [12_000, 15_000]),
    (names::PUT_SAME, [12_000, 15_000], [15_000, 19_000]),
    (names::PUT_OTHER, [12_000, 15_000], [15_000, 19_000]),
    (names::DELETE, [14_000, 14_000], [17_000, 17_000]),
];
const SWEEP: u64 = 5_000;
/// Stable pages that a put dirties, as most do.
const PUT_PAGES_MEDIAN: u64 = 4;
/// In thousandths.
const BYTES_PER_BYTE_FILLED: Pair = [1_800, 1_350];
const BYTES_PER_BYTE_TURNED_OVER: u64 = 1_600;

/// Instructions of whole messages at the shard, without dirty pages of the heap and, for a get, without the bytes of the
/// reply; of a batch of 100, for each item.
const SHARD: [(&str, Pair); 4] = [
    (super::messages::PUT_FRESH, [25_000, 30_000]),
    (super::messages::PUT_OVER, [25_000, 30_000]),
    (super::messages::GET, [15_000, 16_000]),
    (super::messages::PUT_IN_BATCH, [13_000, 19_000]),
];

/// Tells the budget of a figure, if it has one.
pub fn of(key: &Key) -> Option<u64> {
    let at = match key.value_bytes {
        0..=100 => 0,
        101..=1_024 => 1,
        _ => return None,
    };
    let operation = key.operation.as_str();
    match (key.structure, key.measure) {
        (Structure::Store, Measure::Batch) if operation == names::SWEEP => Some(SWEEP),
        (Structure::Store, Measure::Batch | Measure::Single) => {
            let (_, batch, single) = STORE.iter().find(|(name, ..)| *name == operation)?;
            Some(if key.measure == Measure::Batch { batch[at] } else { single[at] })
        }
        (Structure::Store, Measure::PagesMedian) if operation.starts_with("put") => Some(PUT_PAGES_MEDIAN),
        (Structure::Store, Measure::BytesPerByte) if operation == names::FILLED => Some(BYTES_PER_BYTE_FILLED[at]),
        (Structure::Store, Measure::BytesPerByte) => Some(BYTES_PER_BYTE_TURNED_OVER),
        (Structure::Shard, Measure::Charged) => {
            let (_, budget) = SHARD.iter().find(|(name, _)| *name == operation)?;
            Some(budget[at] + super::messages::heap_allowance(operation))
        }
        _ => None,
    }
}
