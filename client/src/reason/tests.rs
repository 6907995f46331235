use super::*;
use crate::scripted::shard;

#[test]
fn refusals_of_a_shard_name_it_and_say_how_long_to_wait() {
    let one = shard(1);
    assert_eq!(from_shard(one, ShardError::OutOfSpace), Reason::OutOfSpace { shard: one });
    let growing = from_shard(one, ShardError::Growing { retry_after_milliseconds: 77 });
    assert_eq!(growing.advice(), Advice::TryAgain { after_milliseconds: 77 });
    let crowded = from_shard(one, ShardError::TooManyOperations { operations_max: 3 });
    assert_eq!(crowded.advice(), Advice::TryAgain { after_milliseconds: OPERATIONS_RETRY_MILLISECONDS });
}

#[test]
fn what_nobody_knows_stays_unknown() {
    let lost = PutError::Unknown { reason: "lost".to_string() };
    assert_eq!(Refused::from(lost), Refused::Unknown("lost".to_string()));
    let lost = DeleteError::Unknown { reason: "lost".to_string() };
    assert_eq!(Refused::from(lost), Refused::Unknown("lost".to_string()));
}

#[test]
fn advice_tells_apart_what_passes_and_whom_to_ask() {
    let rejected = |reject_code| Reason::Rejected { reject_code, message: String::new() }.advice();
    assert!(matches!(rejected(2), Advice::TryAgain { .. }));
    assert_eq!(rejected(3), Advice::AskAdministrator);
    let item = Reason::Item { index: 3, reason: Box::new(Reason::KeyEmpty) };
    assert_eq!(item.advice(), Advice::AskDifferently);
    assert_eq!(Reason::Unauthorised { caller: shard(1) }.advice(), Advice::AskAdministrator);
}
