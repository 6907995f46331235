use super::*;

#[test]
fn router_waits_no_longer_than_its_caller_and_a_minute() {
    let now = 1_780_000_000_500_000_000;
    let after = |milliseconds: u64| Deadline(Some(now + milliseconds * 1_000_000)).timeout_seconds(|| now);
    assert_eq!(Deadline(None).timeout_seconds(|| now), Ok(60));
    assert_eq!(after(300_000), Ok(60));
    assert_eq!(after(59_999), Ok(59));
    assert_eq!(after(1_000), Ok(1));
    assert!(matches!(after(999), Err(Refusal::Busy { .. })));
    assert!(matches!(Deadline(Some(now - 1)).timeout_seconds(|| now), Err(Refusal::Busy { .. })));
}
