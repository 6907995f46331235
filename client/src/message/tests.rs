use super::*;
use crate::write::Put;
use canopy_types::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

#[test]
fn groups_cover_all_items_in_order_and_fit() {
    let sizes: Vec<usize> = (0..20_000).map(|item| (item * 7_919) % 3_000).collect();
    let groups = groups(sizes.iter().copied());
    let mut next = 0;
    for group in &groups {
        assert_eq!(group.start, next);
        assert!(!group.is_empty() && group.len() <= MESSAGE_ITEMS_MAX);
        let bytes: usize = sizes[group.clone()].iter().map(|size| size + ITEM_OVERHEAD_BYTES).sum();
        assert!(bytes <= MESSAGE_PAYLOAD_BYTES_MAX);
        next = group.end;
    }
    assert_eq!(next, sizes.len());
    assert!(groups.len() < 20, "{} messages are more than needed", groups.len());
}

#[test]
fn small_items_are_bound_by_their_number_and_none_make_no_message() {
    assert_eq!(groups((0..MESSAGE_ITEMS_MAX + 1).map(|_| 1)).len(), 2);
    assert!(groups(std::iter::empty()).is_empty());
}

#[test]
fn the_largest_record_fits_a_message_of_its_own() {
    let largest = KEY_BYTES_MAX + VALUE_BYTES_MAX;
    assert!(largest + ITEM_OVERHEAD_BYTES <= MESSAGE_PAYLOAD_BYTES_MAX);
    assert_eq!(groups([largest, largest].into_iter()), vec![0..1, 1..2]);
}

#[test]
fn what_need_not_be_sent_again_keeps_place_and_key_and_loses_its_value() {
    let items = vec![Put::new("a", "1"), Put::new("b", vec![0; 9]).if_absent(), Put::new("c", "3")];
    let message = Message::new([7; 16], 5, items);
    let again = message.with_only(&[true, false, true]);
    assert_eq!(again.operation, message.operation);
    assert_eq!(again.items[0], message.items[0]);
    assert_eq!(again.items[2], message.items[2]);
    assert_eq!(again.items[1].key(), b"b");
    assert_eq!(again.items[1].value(), b"");
    assert_ne!(again.items[1].precondition, message.items[1].precondition);
}
