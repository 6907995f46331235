//! Several futures at once, without a runtime.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

#[cfg(test)]
mod tests;

/// Runs all futures, at most `at_once_max` of them at the same time, and gives their outputs in the futures' order.
pub(crate) async fn join_all<F: Future>(futures: Vec<F>, at_once_max: usize) -> Vec<F::Output> {
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    let mut waiting: VecDeque<(usize, F)> = futures.into_iter().enumerate().collect();
    let mut running: Vec<(usize, Pin<Box<F>>)> = Vec::new();
    while !waiting.is_empty() || !running.is_empty() {
        while running.len() < at_once_max.max(1) {
            let Some((place, future)) = waiting.pop_front() else { break };
            running.push((place, Box::pin(future)));
        }
        // Ready as soon as one of them is, so that the next can begin.
        poll_fn(|context| {
            let before = running.len();
            running.retain_mut(|(place, future)| match future.as_mut().poll(context) {
                Poll::Ready(output) => {
                    outputs[*place] = Some(output);
                    false
                }
                Poll::Pending => true,
            });
            if running.len() < before { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
    outputs.into_iter().map(|output| output.expect("INVARIANT: every future has run to its end")).collect()
}
