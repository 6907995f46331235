use super::{Chance, Draw, SKEW, Zipfian};
use crate::keys::{key, mix};
use crate::plan::Spread;

const RANKS: u64 = 1_000;
const DRAWS: u64 = 1_000_000;

fn counts(mut draw: impl FnMut(&mut Chance) -> u64) -> Vec<f64> {
    let mut chance = Chance::new(5);
    let mut counts = vec![0.0; RANKS as usize];
    (0..DRAWS).for_each(|_| counts[draw(&mut chance) as usize] += 1.0);
    counts
}

/// How often each rank is expected.
fn expected() -> Vec<f64> {
    let weights: Vec<f64> = (1..=RANKS).map(|rank| (rank as f64).powf(-SKEW)).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum * DRAWS as f64).collect()
}

/// The sum of squared distances, each over what was expected: about as much as there are ranks, if those are right.
fn distance(counts: &[f64], expected: &[f64]) -> f64 {
    counts.iter().zip(expected).map(|(count, expected)| (count - expected).powi(2) / expected).sum()
}

/// Five standard deviations above the mean, which is what chance does once in millions of streams.
const DISTANCE_MAX: f64 = RANKS as f64 + 5.0 * 44.7;

#[test]
fn zipfian_ranks_are_drawn_as_often_as_their_weights_say() {
    let zipfian = Zipfian::new(RANKS);
    let counts = counts(|chance| zipfian.draw(chance));
    let distance = distance(&counts, &expected());
    assert!(distance < DISTANCE_MAX, "{distance}");
    assert!(distance > RANKS as f64 / 2.0, "{distance}: too even to be drawn");
}

#[test]
fn scrambled_draws_have_the_frequencies_of_the_ranks_that_share_a_record() {
    let draw = Draw::new(Spread::Zipfian, RANKS);
    let counts = counts(|chance| draw.record(chance, 0, |_| unreachable!("nothing is inserted")));
    let mut scattered = vec![0.0; RANKS as usize];
    (0..RANKS).zip(expected()).for_each(|(rank, expected)| scattered[(mix(rank) % RANKS) as usize] += expected);
    let reached = scattered.iter().filter(|expected| **expected > 0.0).count();
    // Hashing as many ranks as records leaves a share of 1/e without any.
    assert!((590..680).contains(&reached), "{reached}");
    let (counts, scattered): (Vec<f64>, Vec<f64>) =
        counts.into_iter().zip(scattered).filter(|(count, expected)| *count > 0.0 || *expected > 0.0).unzip();
    let distance = distance(&counts, &scattered);
    assert!(distance < DISTANCE_MAX, "{distance}");
}

#[test]
fn uniform_draws_are_even() {
    let draw = Draw::new(Spread::Uniform, RANKS);
    let counts = counts(|chance| draw.record(chance, 0, |_| unreachable!("nothing is inserted")));
    let distance = distance(&counts, &vec![DRAWS as f64 / RANKS as f64; RANKS as usize]);
    assert!(distance < DISTANCE_MAX && distance > RANKS as f64 / 2.0, "{distance}");
}

#[test]
fn latest_draws_prefer_what_was_inserted_last() {
    let draw = Draw::new(Spread::Latest, RANKS);
    let mut chance = Chance::new(5);
    let mut inserted = 0u64;
    let mut oldest = u64::MAX;
    for _ in 0..10_000 {
        let record = draw.record(&mut chance, 10, |place| 5_000 + place);
        inserted += u64::from((5_000..5_010).contains(&record));
        oldest = oldest.min(record);
        assert!(record < 5_010 && !(RANKS..5_000).contains(&record), "{record}");
    }
    let expected = expected()[..10].iter().sum::<f64>() / DRAWS as f64 * 10_000.0;
    assert!((inserted as f64 - expected).abs() < expected / 20.0, "{inserted} of {expected}");
    assert!(oldest < RANKS / 10, "{oldest}");
}

#[test]
fn keys_differ_and_have_their_length() {
    assert_eq!(&key(1_234)[8..], b"user00000000000000001234");
    assert_ne!(key(1)[..8], key(2)[..8]);
}
