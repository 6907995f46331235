use super::Draw;

#[test]
fn zipfian_draws_prefer_few_records_and_reach_many() {
    const BOUND: u64 = 10_000;
    const DRAWS: u64 = 100_000;
    let draw = Draw::zipfian(BOUND);
    let mut counts = vec![0u64; BOUND as usize];
    (0..DRAWS).for_each(|at| counts[draw.draw(at) as usize] += 1);
    // The first record is drawn with 1 / zeta(10,000; 0.99), about a tenth; the first hundred about half of the time.
    assert!((9_000..11_500).contains(&counts[0]), "{}", counts[0]);
    let hundred: u64 = counts[..100].iter().sum();
    assert!((45_000..60_000).contains(&hundred), "{hundred}");
    assert!(counts.iter().filter(|&&count| count > 0).count() > 5_000);
}
