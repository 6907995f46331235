use super::{Action, Command, Reply};

#[test]
fn commands_and_replies_are_read_as_they_were_written() {
    for (at, action) in Action::ALL.into_iter().enumerate() {
        assert_eq!(action as usize, at, "{action:?}");
        let command =
            Command { action, first: 7, count: 2, value_bytes: 100, records: vec![5, 6][..at % 3 % 2].to_vec() };
        assert_eq!(Command::read(&command.write()), command);
    }
    let mut reply = Reply { instructions: 1, steps: 2, sizes: [3, 4, 5, 6], ..Reply::default() };
    reply.pages[3] = 9;
    assert_eq!(Reply::read(&reply.write()), reply);
}

#[test]
fn steps_are_numbered_on_whether_records_are_listed_or_not() {
    let listed = Command { records: vec![50, 60], first: 7, ..Command::once(Action::Get) };
    assert_eq!(listed.steps().collect::<Vec<_>>(), [(50, 7), (60, 8)]);
    let counted = Command { first: 7, count: 2, ..Command::once(Action::Put) };
    assert_eq!(counted.steps().collect::<Vec<_>>(), [(7, 7), (8, 8)]);
}
