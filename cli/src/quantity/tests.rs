use super::*;

#[test]
fn sizes_are_read_with_and_without_units() {
    for (text, bytes) in [
        ("0", 0),
        ("65536", 65_536),
        ("64KiB", 65_536),
        ("32GiB", 32 << 30),
        ("32 gib", 32 << 30),
        ("1TB", 1_000_000_000_000),
        ("7B", 7),
    ] {
        assert_eq!(size(text), Ok(bytes), "{text}");
    }
    for text in ["", "GiB", "1.5GiB", "-1", "32G", "off", "1 2", "1GiBs", "\u{663}"] {
        assert_eq!(size(text), Err(QuantityError::NoSize), "{text}");
    }
    assert_eq!(size("99999999999999999999"), Err(QuantityError::TooLarge));
    assert_eq!(size("16384PiB"), Err(QuantityError::TooLarge));
}

#[test]
fn counts_are_read_with_and_without_units_and_off_where_that_is_meant() {
    for (text, number) in [("12", 12), ("300k", 300_000), ("60G", 60_000_000_000), ("1T", 1_000_000_000_000)] {
        assert_eq!(count(text), Ok(number), "{text}");
    }
    assert_eq!(count("12GiB"), Err(QuantityError::NoCount));
    assert_eq!(count("off"), Err(QuantityError::NoCount));
    assert_eq!((count_or_off("off"), size_or_off("OFF")), (Ok(0), Ok(0)));
    assert_eq!((count_or_off("60G"), size_or_off("1MiB")), (Ok(60_000_000_000), Ok(1 << 20)));
}

#[test]
fn a_size_that_is_shown_can_be_read_again() {
    for bytes in [1 << 10, 1 << 20, 32 << 30, 3 << 40, 1 << 50, 1_536 << 10] {
        assert_eq!(size(&size_text(bytes).replace(',', "")), Ok(bytes));
    }
    assert_eq!(size_text(32 << 30), "32 GiB");
    assert_eq!(size_text((1 << 20) + 1), "1,048,577 bytes");
    assert_eq!(size_text(0), "0 bytes");
}
