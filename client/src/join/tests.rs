use super::*;
use std::cell::Cell;
use std::pin::pin;
use std::task::{Context, Waker};

/// Is pending so many times.
async fn after(turns: u32) {
    let mut left = turns;
    poll_fn(move |_| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        Poll::Pending
    })
    .await
}

fn drive<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    for _ in 0..10_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
    panic!("the future doesn't end");
}

#[test]
fn outputs_come_in_the_order_of_the_futures() {
    let futures: Vec<_> = [5_u32, 0, 3, 1]
        .into_iter()
        .map(|turns| async move {
            after(turns).await;
            turns
        })
        .collect();
    assert_eq!(drive(join_all(futures, 4)), [5, 0, 3, 1]);
}

#[test]
fn no_more_than_the_bound_run_at_once_and_that_many_do() {
    let (running, most) = (Cell::new(0), Cell::new(0));
    let futures: Vec<_> = (0..20_u32)
        .map(|number| {
            let (running, most) = (&running, &most);
            async move {
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                after(number % 7).await;
                running.set(running.get() - 1);
            }
        })
        .collect();
    assert_eq!(drive(join_all(futures, 3)).len(), 20);
    assert_eq!((running.get(), most.get()), (0, 3));
}

#[test]
fn nothing_to_run_ends_at_once() {
    let none: Vec<std::future::Ready<()>> = vec![];
    assert!(drive(join_all(none, 8)).is_empty());
}
