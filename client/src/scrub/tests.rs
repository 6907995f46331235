use super::*;
use crate::scripted::{Scripted, client, run};
use canopy_types::BusyReason;
use canopy_types::api::scrub::ScrubResult;

fn page(chunks: u64, cursor: Option<&[u8]>) -> ScrubResult {
    Ok(ScrubPage { uploads: 1, manifests: 1, chunks, strays: vec![], cursor: cursor.map(ByteBuf::from) })
}

/// The beginning of a cursor says where it is.
fn cursor(hash: u8) -> Vec<u8> {
    [&[2, hash][..], &[0; 16]].concat()
}

#[test]
fn a_scrub_follows_the_cursors_and_asks_again_what_is_busy() {
    let client = client(Scripted::default());
    let reason = BusyReason::RangeMoves;
    let busy: ScrubResult = Err(ScrubError::Busy { retry_after_milliseconds: 1_000, reason });
    client.transport.reply(&page(3, Some(&cursor(0x40)))).reply(&busy).reply(&page(4, None));
    let mut scrub = client.scrub();
    assert_eq!((scrub.position(), scrub.cursor()), (KeyHash(0), None));
    assert_eq!(run(scrub.next_page()).unwrap().unwrap().chunks, 3);
    assert_eq!((scrub.position(), scrub.cursor()), (KeyHash(0x40 << 56), Some(&cursor(0x40)[..])));
    assert_eq!(run(scrub.next_page()).unwrap().unwrap().chunks, 4);
    assert_eq!((scrub.position(), scrub.cursor()), (KeyHash(u64::MAX), None));
    assert_eq!(run(scrub.next_page()), Ok(None));
    let asked = client.transport.asked();
    let cursors: Vec<_> = asked.iter().map(|asked| asked.read::<ScrubArguments>().cursor).collect();
    assert_eq!(cursors, [None, Some(ByteBuf::from(cursor(0x40))), Some(ByteBuf::from(cursor(0x40)))]);
    assert!(asked.iter().all(|asked| asked.method == "scrub" && !asked.is_query));
}

#[test]
fn a_scrub_goes_on_where_another_was_and_after_an_error() {
    let client = client(Scripted::default());
    let refused: ScrubResult = Err(ScrubError::InvalidCursor { reason: "changed".to_string() });
    client.transport.reply(&refused).reply(&page(1, None));
    let mut scrub = client.scrub().from_cursor(cursor(7));
    let message = "changed".to_string();
    assert_eq!(run(scrub.next_page()), Err(Reason::InvalidCursor { message }.into()));
    assert!(run(scrub.next_page()).unwrap().is_some());
    let asked = client.transport.asked();
    assert!(asked.iter().all(|asked| asked.read::<ScrubArguments>().cursor == Some(ByteBuf::from(cursor(7)))));
}

#[test]
fn a_scrub_that_does_not_get_on_is_an_error() {
    let client = client(Scripted::default());
    client.transport.reply(&page(1, Some(&cursor(7)))).reply(&page(1, Some(&cursor(7))));
    let mut scrub = client.scrub();
    assert!(run(scrub.next_page()).unwrap().is_some());
    assert!(matches!(run(scrub.next_page()), Err(NotDone { reason: Reason::NotUnderstood { .. } })));
}
