use super::*;

#[test]
fn writes_are_checked_against_the_promised_bounds() {
    let key = vec![1; KEY_BYTES_MAX];
    assert_eq!(Put::new(key.clone(), vec![0; VALUE_BYTES_MAX]).check(), Ok(()));
    assert_eq!(Put::new("k", "").check(), Ok(()));
    assert_eq!(Put::new("", "v").check(), Err(Reason::KeyEmpty));
    let (bytes, bytes_max) = (KEY_BYTES_MAX as u64 + 1, KEY_BYTES_MAX as u64);
    let too_long = Err(Reason::KeyTooLong { bytes, bytes_max });
    assert_eq!(Put::new([&key[..], b"k"].concat(), "v").check(), too_long);
    assert_eq!(Delete::new([&key[..], b"k"].concat()).check(), too_long);
    assert_eq!(Delete::new("").check(), Err(Reason::KeyEmpty));
    let (bytes, bytes_max) = (VALUE_BYTES_MAX as u64 + 1, VALUE_BYTES_MAX as u64);
    let put = Put::new("k", vec![0; VALUE_BYTES_MAX + 1]);
    assert_eq!(put.check(), Err(Reason::ValueTooLong { bytes, bytes_max }));
    let (milliseconds_min, milliseconds_max) = (TIME_TO_LIVE_MILLISECONDS_MIN, TIME_TO_LIVE_MILLISECONDS_MAX);
    for milliseconds in [milliseconds_min, milliseconds_max] {
        assert_eq!(Put::new("k", "v").time_to_live_milliseconds(milliseconds).check(), Ok(()));
    }
    for milliseconds in [milliseconds_min - 1, milliseconds_max + 1] {
        let reason = Reason::TimeToLiveOutOfBounds { milliseconds, milliseconds_min, milliseconds_max };
        assert_eq!(Put::new("k", "v").time_to_live_milliseconds(milliseconds).check(), Err(reason));
    }
}

#[test]
fn the_last_precondition_counts() {
    let put = Put::new("k", "v").if_absent().if_version(Version(7));
    assert_eq!(put.precondition, Some(Precondition::Version(Version(7))));
    assert_eq!(Delete::new("k").if_present().precondition, Some(Precondition::Present));
}
