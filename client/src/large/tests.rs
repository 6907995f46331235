use super::*;

#[test]
fn a_value_in_memory_is_given_once_and_not_beyond_its_end() {
    let mut source: &[u8] = b"abcdef";
    assert_eq!(source.read(4), Ok(b"abcd".to_vec()));
    assert_eq!(source.read(2), Ok(b"ef".to_vec()));
    assert!(source.read(1).is_err());
    let mut sink = vec![];
    sink.write(b"ab".to_vec()).unwrap();
    sink.restart().unwrap();
    sink.write(b"cd".to_vec()).unwrap();
    sink.write(b"e".to_vec()).unwrap();
    assert_eq!(sink, b"cde");
}

#[test]
fn whichever_future_is_done_is_taken_with_its_number() {
    let ready_at = |turns: u32| {
        let mut left = turns;
        poll_fn(move |context| {
            if left == 0 {
                return Poll::Ready(turns);
            }
            left -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })
    };
    let mut running: Vec<_> = [3, 1, 2].into_iter().map(|turns| (turns, Box::pin(ready_at(turns)))).collect();
    let mut done = vec![];
    while !running.is_empty() {
        let mut first = Box::pin(first_done(&mut running));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        loop {
            if let Poll::Ready(output) = first.as_mut().poll(&mut context) {
                done.push(output);
                break;
            }
        }
    }
    assert_eq!(done[0], (1, 1));
    done.sort_unstable();
    assert_eq!(done, [(1, 1), (2, 2), (3, 3)]);
}
