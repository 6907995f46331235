use super::*;

fn shown(policy: &Policy, name: &str) -> String {
    settings_of(policy).iter().find(|setting| setting.name == name).expect("it is shown").text()
}

#[test]
fn settings_are_shown_with_units_and_told_apart_from_defaults() {
    let policy = Policy::default();
    assert_eq!(shown(&policy, "split_at_record_bytes"), "32 GiB (default)");
    assert_eq!(shown(&policy, "merge_below_record_bytes"), "off (default)");
    assert_eq!(shown(&policy, "spares_min"), "as forecast");
    assert_eq!(shown(&policy, "bytes_per_minute_max"), "no limit");
    assert_eq!(shown(&policy, "upload_open_milliseconds"), "1,440 min");
    assert_eq!(shown(&policy, "growth_cycles_per_day_max"), "300,000,000,000,000 (default)");
    let (split_at_record_bytes, growth_cycles_per_day_max) = (Some(0), Some(0));
    let set = Policy { split_at_record_bytes, growth_cycles_per_day_max, spares_min: Some(2), ..policy };
    assert_eq!(shown(&set, "split_at_record_bytes"), "off");
    assert_eq!(shown(&set, "growth_cycles_per_day_max"), "none");
    assert_eq!(shown(&set, "spares_min"), "2");
}

#[test]
fn refusals_tell_bounds_in_the_units_of_the_setting() {
    let out_of_bounds = |setting: &str, value, value_min, value_max| {
        let setting = setting.to_string();
        refused(SetPolicyError::OutOfBounds { setting, value, value_min, value_max }).to_string()
    };
    let told = out_of_bounds("split_at_record_bytes", 1, 64 << 10, 400 << 30);
    assert_eq!(told, "split_at_record_bytes can't be 1 bytes: 64 KiB to 400 GiB, or off");
    let told = out_of_bounds("uploads.kept_milliseconds", 0, 60_000, 2_592_000_000);
    assert_eq!(told, "uploads.kept_milliseconds can't be 0 min: 1 min to 43,200 min");
    let told = out_of_bounds("splits_per_hour_max", 61, 1, 60);
    assert_eq!(told, "splits_per_hour_max can't be 61: 1 to 60, or off");
}
