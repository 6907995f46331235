use super::*;

fn asked(operations: Option<u64>, bytes: Option<u64>) -> SetPolicyArguments {
    SetPolicyArguments { operations_per_minute_max: operations, bytes_per_minute_max: bytes }
}

#[test]
fn settings_that_are_not_named_stay() {
    let first = change(&Policy::default(), &asked(Some(600), None)).unwrap();
    let second = change(&first, &asked(None, Some(BYTES_PER_MINUTE_MIN))).unwrap();
    assert_eq!(second.operations_per_minute_max, Some(600));
    assert_eq!(second.bytes_per_minute_max, Some(BYTES_PER_MINUTE_MIN));
    assert_eq!(change(&second, &asked(None, None)), Ok(second));
}

#[test]
fn nought_lifts_a_limit() {
    let limited = change(&Policy::default(), &asked(Some(1), Some(BYTES_PER_MINUTE_MAX))).unwrap();
    assert_eq!(change(&limited, &asked(Some(0), Some(0))), Ok(Policy::default()));
}

#[test]
fn nonsense_is_refused_with_value_and_bounds() {
    let error = change(&Policy::default(), &asked(Some(1), Some(1000))).unwrap_err();
    let expected = SetPolicyError::OutOfBounds {
        setting: "bytes_per_minute_max".to_string(),
        value: 1000,
        value_min: 2_097_152,
        value_max: 1 << 50,
    };
    assert_eq!(error, expected);
    assert!(change(&Policy::default(), &asked(Some(OPERATIONS_PER_MINUTE_MAX + 1), None)).is_err());
    assert!(change(&Policy::default(), &asked(None, Some(BYTES_PER_MINUTE_MAX + 1))).is_err());
}
