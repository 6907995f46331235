//! Waiting for many futures at once.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

#[cfg(test)]
mod tests;

enum Progress<F: Future> {
    Running(Pin<Box<F>>),
    Done(F::Output),
}

/// Runs all futures until the last is done, and gives what they gave, in their order. Each is begun before any is
/// waited for.
pub async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F::Output: Unpin,
{
    let mut all: Vec<Progress<F>> = futures.into_iter().map(|future| Progress::Running(Box::pin(future))).collect();
    poll_fn(|context| {
        let mut running = false;
        for progress in &mut all {
            if let Progress::Running(future) = progress {
                match future.as_mut().poll(context) {
                    Poll::Ready(output) => *progress = Progress::Done(output),
                    Poll::Pending => running = true,
                }
            }
        }
        if running { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    let output = |progress| match progress {
        Progress::Done(output) => output,
        Progress::Running(_) => unreachable!("INVARIANT: nothing runs when all are done"),
    };
    all.into_iter().map(output).collect()
}
