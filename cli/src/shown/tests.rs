use super::*;

#[test]
fn numbers_are_grouped_from_the_right() {
    assert_eq!(grouped(1), "1");
    assert_eq!(grouped(123), "123");
    assert_eq!(grouped(1_234_567), "1,234,567");
}

#[test]
fn keys_are_read_as_text_or_in_hexadecimal() {
    assert_eq!(parse_key("abba", false).expect("text"), b"abba");
    assert_eq!(parse_key("abba", true).expect("hexadecimal"), [0xab, 0xba]);
    assert!(parse_key("abb", true).is_err());
    assert!(parse_key("über", true).is_err());
}

#[test]
fn different_keys_are_shown_differently_and_in_one_line() {
    let keys: [&[u8]; 7] = [b"a", "\u{e9}".as_bytes(), b"\xe9", b"\\xe9", b"a\nb", b"a\\nb", b"\xc3\xa9\n"];
    let shown: std::collections::BTreeSet<String> = keys.iter().map(|key| key_text(key)).collect();
    assert_eq!(shown.len(), keys.len());
    assert!(shown.iter().all(|text| !text.contains('\n')));
}

#[test]
fn times_are_shown_in_units_that_people_think_in() {
    let shown = [1, 90, 120, 7_199, 7_200, 172_799, 172_800].map(duration_text);
    assert_eq!(shown, ["1 s", "90 s", "2 min", "119 min", "2 h", "47 h", "2 d"]);
}
