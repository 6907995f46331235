use super::*;

fn asked(operations: Option<u64>, bytes: Option<u64>) -> SetPolicyArguments {
    SetPolicyArguments {
        operations_per_minute_max: operations,
        bytes_per_minute_max: bytes,
        ..SetPolicyArguments::default()
    }
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

fn splits(split_at_record_bytes: Option<u64>, merge_below_record_bytes: Option<u64>) -> SetPolicyArguments {
    SetPolicyArguments { split_at_record_bytes, merge_below_record_bytes, ..SetPolicyArguments::default() }
}

#[test]
fn what_is_not_set_has_a_default_and_nought_is_never() {
    let thresholds = Thresholds::of(&Policy::default());
    assert_eq!(thresholds.record_bytes, Some(32 << 30));
    assert_eq!((thresholds.merge_below_record_bytes, thresholds.spares_min), (None, 0));
    let never = change(&Policy::default(), &splits(Some(0), None)).unwrap();
    assert_eq!(Thresholds::of(&never).record_bytes, None);
    // Nothing contradicts a split that never comes.
    assert!(change(&never, &splits(None, Some(1 << 40))).is_err());
    assert!(change(&never, &splits(None, Some(1 << 38))).is_ok());
}

#[test]
fn neighbours_are_not_merged_to_be_split_again() {
    let policy = change(&Policy::default(), &splits(Some(1 << 20), Some(1 << 19))).unwrap();
    let refused = |merge_below_record_bytes, merge_below_record_bytes_max| {
        Err(SetPolicyError::MergeAboveHalfOfSplit { merge_below_record_bytes, merge_below_record_bytes_max })
    };
    assert_eq!(change(&policy, &splits(None, Some((1 << 19) + 1))), refused((1 << 19) + 1, 1 << 19));
    assert_eq!(change(&policy, &splits(Some(1 << 18), None)), refused(1 << 19, 1 << 17));
    assert_eq!(change(&Policy::default(), &splits(None, Some(17 << 30))), refused(17 << 30, 16 << 30));
    assert_eq!(change(&policy, &splits(Some(1 << 18), Some(0))).unwrap().merge_below_record_bytes, Some(0));
}

#[test]
fn every_setting_of_growth_has_its_bounds() {
    let asked = |change: fn(&mut SetPolicyArguments, u64), value| {
        let mut arguments = SetPolicyArguments::default();
        change(&mut arguments, value);
        arguments
    };
    const T: u64 = 1_000_000_000_000;
    /// How a setting is made, its least and its greatest value.
    type Setting = (fn(&mut SetPolicyArguments, u64), u64, u64);
    let settings: [Setting; 9] = [
        (|arguments, value| arguments.split_at_record_bytes = Some(value), 64 << 10, 400 << 30),
        (|arguments, value| arguments.split_at_stable_bytes = Some(value), 1 << 20, 450 << 30),
        (|arguments, value| arguments.split_at_heap_bytes = Some(value), 1 << 20, 4 << 30),
        (|arguments, value| arguments.split_at_operations_per_minute = Some(value), 60, 1_000_000_000),
        (|arguments, value| arguments.split_at_instructions_per_minute = Some(value), 1_000_000, 1_000_000_000_000),
        (|arguments, value| arguments.splits_per_hour_max = Some(value), 0, 60),
        (|arguments, value| arguments.merge_below_record_bytes = Some(value), 0, 16 << 30),
        (|arguments, value| arguments.spares_min = Some(value), 0, 64),
        (|arguments, value| arguments.growth_cycles_per_day_max = Some(value), T, 100_000 * T),
    ];
    for (at, (setting, least, most)) in settings.into_iter().enumerate() {
        for value in [0, least, most] {
            assert!(change(&Policy::default(), &asked(setting, value)).is_ok(), "setting {at}: {value}");
        }
        for value in [least.saturating_sub(1), most + 1].into_iter().filter(|&value| value > 0) {
            assert!(change(&Policy::default(), &asked(setting, value)).is_err(), "setting {at}: {value}");
        }
    }
}

#[test]
fn shards_differ_in_when_they_are_split_by_less_than_a_quarter() {
    let thresholds = Thresholds { record_bytes: Some(6_400), ..Thresholds::of(&Policy::default()) };
    let at = |shard| thresholds.staggered(ShardIndex(shard)).record_bytes.unwrap();
    assert_eq!((at(0), at(1), at(2)), (6_400, 5_700, 5_000));
    let mut all: Vec<u64> = (0..16).map(at).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!((all.len(), all[0]), (16, 4_900));
}

#[test]
fn uploads_are_bounded_within_bounds() {
    let uploads = UploadPolicy { open_uploads_max: 7, ..UploadPolicy::default() };
    let asked = |uploads| SetPolicyArguments { uploads: Some(uploads), ..SetPolicyArguments::default() };
    let policy = change(&Policy::default(), &asked(uploads)).unwrap();
    assert_eq!((policy.upload_policy(), Policy::default().upload_policy()), (uploads, UploadPolicy::default()));
    assert_eq!(change(&policy, &SetPolicyArguments::default()), Ok(policy.clone()));
    let none = UploadPolicy { open_uploads_max: 0, ..uploads };
    let setting = "uploads.open_uploads_max".to_string();
    let expected = SetPolicyError::OutOfBounds { setting, value: 0, value_min: 1, value_max: 4096 };
    assert_eq!(change(&policy, &asked(none)), Err(expected));
    for nonsense in [
        UploadPolicy { open_bytes_max: 1, ..uploads },
        UploadPolicy { open_milliseconds: UPLOAD_MILLISECONDS_MAX + 1, ..uploads },
        UploadPolicy { kept_milliseconds: UPLOAD_MILLISECONDS_MIN - 1, ..uploads },
    ] {
        assert!(change(&policy, &asked(nonsense)).is_err(), "{nonsense:?}");
    }
}
