use super::*;
use candid::Principal;
use canopy_types::Grant;
use canopy_types::roles::RolesContent;

const NOW: u64 = 1_700_000_000_000_000_000;

fn content(writers: &[u8]) -> RolesContent {
    let grants =
        writers.iter().map(|&number| Grant::of_everything(Principal::from_slice(&[number]), Role::Writer)).collect();
    RolesContent { grants, limits: RateLimits::default() }
}

fn word(version: u64, given_at: u64, writers: &[u8]) -> RolesWord {
    let content = content(writers);
    RolesWord { version, digest: content.digest(), given_at_nanoseconds: given_at, content: Some(content) }
}

fn renewal(version: u64, given_at: u64, writers: &[u8]) -> RolesWord {
    RolesWord { content: None, ..word(version, given_at, writers) }
}

fn may_write(roles: &Roles, number: u8, now: u64) -> Said {
    roles.said(&[number], Role::Writer, now)
}

#[test]
fn a_word_holds_ten_minutes_from_when_it_was_given() {
    let mut roles = Roles::default();
    assert_eq!(may_write(&roles, 1, NOW), Said::Nothing);
    let reply = roles.take(&word(5, NOW - 1_000, &[1]), NOW);
    assert_eq!(reply, RolesWordReply { holds: true, version: Some(5), reading: None });
    let end = NOW - 1_000 + KEPT_NANOSECONDS;
    assert_eq!(may_write(&roles, 1, end - 1), Said::Reach(Reach::Everything));
    assert_eq!(may_write(&roles, 2, end - 1), Said::Reach(Reach::Nothing));
    assert_eq!(may_write(&roles, 1, end), Said::Outdated);
}

#[test]
fn a_renewal_makes_the_same_word_last_and_no_other() {
    let mut roles = Roles::default();
    roles.take(&word(5, NOW, &[1]), NOW);
    let later = NOW + KEPT_NANOSECONDS - 1;
    assert!(roles.take(&renewal(5, later, &[1]), later).holds);
    assert_eq!(may_write(&roles, 1, later + KEPT_NANOSECONDS - 1), Said::Reach(Reach::Everything));
    let held = roles.held();
    assert!(!roles.take(&renewal(6, later + 5, &[1]), later + 5).holds, "another version");
    assert!(!roles.take(&renewal(5, later + 5, &[1, 2]), later + 5).holds, "another content");
    assert_eq!(roles.held(), held);
}

#[test]
fn an_outdated_word_comes_back_by_a_renewal() {
    let mut roles = Roles::default();
    roles.take(&word(5, NOW, &[1]), NOW);
    let later = NOW + 2 * KEPT_NANOSECONDS;
    assert_eq!(may_write(&roles, 1, later), Said::Outdated);
    assert!(roles.take(&renewal(5, later, &[1]), later).holds);
    assert_eq!(may_write(&roles, 1, later), Said::Reach(Reach::Everything));
}

#[test]
fn late_words_neither_bring_back_what_was_revoked_nor_shorten_what_holds() {
    let mut roles = Roles::default();
    roles.take(&word(5, NOW, &[1, 2]), NOW);
    roles.take(&word(6, NOW + 10, &[1]), NOW + 10);
    let reply = roles.take(&word(5, NOW + 20, &[1, 2]), NOW + 20);
    assert_eq!(reply, RolesWordReply { holds: false, version: Some(6), reading: None });
    assert_eq!(may_write(&roles, 2, NOW + 20), Said::Reach(Reach::Nothing));
    let held = roles.held();
    assert!(roles.take(&renewal(6, NOW, &[1]), NOW + 30).holds);
    assert_eq!(roles.held(), held);
}

#[test]
fn a_word_from_the_future_holds_no_longer_than_one_of_now() {
    let mut roles = Roles::default();
    roles.take(&word(5, u64::MAX, &[1]), NOW);
    assert_eq!(roles.held(), Some((5, NOW + KEPT_NANOSECONDS)));
}

#[test]
fn callers_are_counted_by_the_limits_that_were_told() {
    let mut roles = Roles::default();
    assert_eq!(roles.admit(&[1], 1_000, 0, NOW), Ok(()), "no limits are known");
    let limits = RateLimits { operations_per_minute_max: Some(2), bytes_per_minute_max: None };
    let content = RolesContent { limits, ..content(&[1]) };
    let word = RolesWord { version: 5, digest: content.digest(), given_at_nanoseconds: NOW, content: Some(content) };
    roles.take(&word, NOW);
    assert_eq!(roles.admit(&[1], 2, 0, NOW), Ok(()));
    assert_eq!(roles.admit(&[1], 1, 0, NOW), Err((limits, 30_000)));
    assert_eq!(roles.admit(&[9], 2, 0, NOW), Ok(()), "a stranger has a place elsewhere");
}
