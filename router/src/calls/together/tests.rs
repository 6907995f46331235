use super::*;
use std::cell::RefCell;
use std::pin::pin;
use std::task::{Context, Waker};

#[test]
fn all_are_begun_before_any_is_waited_for_and_answer_in_their_order() {
    let begun = RefCell::new(vec![]);
    let future = |number: usize| {
        let begun = &begun;
        let mut polls = 0;
        poll_fn(move |_| {
            if polls == 0 {
                begun.borrow_mut().push(number);
            }
            polls += 1;
            // The later ones are done first.
            if polls + number > 4 { Poll::Ready(number) } else { Poll::Pending }
        })
    };
    let mut all = pin!(all((0..4).map(future)));
    let mut context = Context::from_waker(Waker::noop());
    assert!(all.as_mut().poll(&mut context).is_pending());
    assert_eq!(*begun.borrow(), [0, 1, 2, 3]);
    let done = (0..10).find_map(|_| match all.as_mut().poll(&mut context) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    });
    assert_eq!(done, Some(vec![0, 1, 2, 3]));
}
