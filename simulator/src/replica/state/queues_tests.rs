use super::*;
use crate::replica::state::CallbackId;

fn id(n: u8) -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, n, 1, 1])
}

fn request(sender: u8, n: u8) -> Request {
    Request {
        sender: id(sender),
        receiver: id(0),
        callback: CallbackId(n as u64),
        method: String::new(),
        payload: vec![n],
        cycles: 7,
        deadline_seconds: None,
        sent_nanos: 0,
    }
}

fn chance(schedule: Schedule) -> Chance {
    Chance::new(1, 0, schedule)
}

fn order(queues: &mut Queues, chance: &mut Chance) -> Vec<(u8, u8)> {
    let mut order = Vec::new();
    while let Some(Input::Request(request)) = queues.pop(chance) {
        order.push((request.sender.as_slice()[7], request.payload[0]));
    }
    order
}

#[test]
fn senders_take_turns_and_keep_their_order() {
    let mut queues = Queues::default();
    for n in 0..3 {
        assert!(queues.push_request(request(1, n), 0, true).is_none());
    }
    assert!(queues.push_request(request(2, 9), 0, true).is_none());
    assert_eq!(order(&mut queues, &mut chance(Schedule::Plain)), [(1, 0), (2, 9), (1, 1), (1, 2)]);
    assert!(queues.is_empty());
}

#[test]
fn shuffled_schedule_keeps_the_order_of_a_pair() {
    for seed in 0..50 {
        let mut queues = Queues::default();
        for n in 0..5 {
            assert!(queues.push_request(request(1, n), 0, true).is_none());
            assert!(queues.push_request(request(2, n), 0, false).is_none());
        }
        let order = order(&mut queues, &mut Chance::new(seed, 0, Schedule::Shuffled));
        for sender in [1, 2] {
            let of_sender: Vec<u8> = order.iter().filter(|(s, _)| *s == sender).map(|(_, n)| *n).collect();
            assert_eq!(of_sender, [0, 1, 2, 3, 4], "seed {seed}");
        }
    }
}

#[test]
fn a_sender_has_500_slots_including_open_calls() {
    let mut queues = Queues::default();
    for n in 0..490 {
        assert!(queues.push_request(request(1, n as u8), 10, true).is_none());
    }
    assert!(queues.push_request(request(1, 0), 10, true).is_some());
    assert!(queues.push_request(request(2, 0), 0, true).is_none());
    assert_eq!(queues.cycles(), 491 * 7);
}

#[test]
fn taken_inputs_free_their_slots() {
    let mut queues = Queues::default();
    for n in 0..200 {
        assert!(queues.push_request(request(1, n), 300, true).is_none());
    }
    let taken = queues.take_inputs(|input| matches!(input, Input::Request(request) if request.payload[0] % 2 == 0));
    assert_eq!(taken.len(), 100);
    assert!(queues.push_request(request(1, 201), 300, true).is_none());
    assert_eq!(order(&mut queues, &mut chance(Schedule::Plain)).len(), 101);
}
