use super::*;

const NOW: u64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn shard(number: u8) -> Principal {
    Principal::from_slice(&[number])
}

fn telling(shards: u8) -> Telling {
    let mut telling = Telling::default();
    telling.observe((0..shards).map(shard));
    telling
}

fn held() -> Result<RolesWordReply, String> {
    Ok(RolesWordReply { holds: true, version: Some(1), reading: None })
}

fn lacking() -> Result<RolesWordReply, String> {
    Ok(RolesWordReply { holds: false, version: None, reading: None })
}

fn failed() -> Result<RolesWordReply, String> {
    Err("no answer".to_string())
}

#[test]
fn new_shards_are_told_at_once_without_the_content_that_they_were_installed_with() {
    let mut telling = telling(2);
    let due = telling.take_due(NOW);
    assert_eq!(due, [0, 1].map(|number| Due { shard: shard(number), with_content: false }));
    assert_eq!(telling.open(), 2);
    assert_eq!(telling.take_due(NOW), [], "their calls are open");
    assert_eq!(telling.next_at(), None);
}

#[test]
fn a_shard_is_told_again_two_minutes_after_the_last_word_was_given() {
    let mut telling = telling(1);
    telling.take_due(NOW);
    telling.end(shard(0), NOW, held(), NOW + 3 * SECOND);
    assert_eq!(telling.next_at(), Some(NOW + 120 * SECOND));
    assert_eq!(telling.take_due(NOW + 120 * SECOND - 1), []);
    assert_eq!(telling.take_due(NOW + 120 * SECOND).len(), 1);
}

#[test]
fn a_shard_that_lacks_the_content_gets_it_at_once_and_only_once() {
    let mut telling = telling(1);
    telling.take_due(NOW);
    telling.end(shard(0), NOW, lacking(), NOW + 1);
    assert_eq!(telling.take_due(NOW + 1), [Due { shard: shard(0), with_content: true }]);
    telling.end(shard(0), NOW + 1, held(), NOW + 2);
    assert_eq!(telling.take_due(NOW + 121 * SECOND), [Due { shard: shard(0), with_content: false }]);
}

#[test]
fn failures_are_retried_with_growing_delays_up_to_the_renewal_and_never_given_up() {
    let mut telling = telling(1);
    let (mut now, mut delays) = (NOW, Vec::new());
    for _ in 0..40 {
        assert_eq!(telling.take_due(now).len(), 1);
        telling.end(shard(0), now, failed(), now);
        let next = telling.next_at().unwrap();
        delays.push((next - now) / SECOND);
        now = next;
    }
    assert_eq!(delays[..7], [5, 10, 20, 40, 80, 120, 120]);
    assert!(delays[7..].iter().all(|&delay| delay == 120));
    telling.take_due(now);
    telling.end(shard(0), now, held(), now);
    assert_eq!(telling.untold(), []);
    now += RENEWAL_NANOSECONDS;
    telling.take_due(now);
    telling.end(shard(0), now, failed(), now);
    assert_eq!(telling.next_at(), Some(now + 5 * SECOND), "the delays begin anew");
}

#[test]
fn a_shard_is_shown_after_three_failures_with_the_last_reason() {
    let mut telling = telling(2);
    telling.take_due(NOW);
    telling.end(shard(1), NOW, held(), NOW);
    telling.end(shard(0), NOW, held(), NOW);
    for failure in 1..=3 {
        assert_eq!(telling.untold(), [], "after {} failures", failure - 1);
        telling.tell(shard(0), NOW);
        telling.take_due(NOW);
        telling.end(shard(0), NOW, failed(), NOW);
    }
    let shown = ShardUntold {
        shard: shard(0),
        failed_attempts: 3,
        last_failure: "no answer".to_string(),
        told_at_nanoseconds: Some(NOW),
    };
    assert_eq!(telling.untold(), [shown]);
}

#[test]
fn a_change_during_an_open_call_is_told_after_it() {
    let mut telling = telling(1);
    telling.take_due(NOW);
    telling.tell_all(NOW + 1);
    assert_eq!(telling.take_due(NOW + 1), []);
    telling.end(shard(0), NOW, held(), NOW + 2);
    assert_eq!(telling.next_at(), Some(NOW + 2));
    assert_eq!(telling.take_due(NOW + 2).len(), 1);
    telling.end(shard(0), NOW + 2, held(), NOW + 3);
    assert_eq!(telling.next_at(), Some(NOW + 2 + RENEWAL_NANOSECONDS));
}

#[test]
fn open_calls_are_bounded_and_nobody_is_forgotten() {
    let mut telling = telling(40);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let due = telling.take_due(NOW);
        assert!(due.len() <= OPEN_MAX);
        for due in due {
            telling.end(due.shard, NOW, held(), NOW);
            seen.push(due.shard);
        }
    }
    assert_eq!(seen, (0..40).map(shard).collect::<Vec<_>>());
}

#[test]
fn shards_that_are_gone_are_forgotten_and_others_keep_what_is_known() {
    let mut telling = telling(2);
    telling.take_due(NOW);
    telling.end(shard(1), NOW, held(), NOW);
    telling.observe([shard(1), shard(2)]);
    telling.end(shard(0), NOW, failed(), NOW);
    assert!(!telling.tell(shard(0), NOW));
    assert_eq!(telling.take_due(NOW), [Due { shard: shard(2), with_content: false }]);
}
