//! Live mode: an instance whose time follows the wall clock and whose rounds come by themselves.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use tokio::task::AbortHandle;

use super::answer::{Answer, Refusal};
use super::host::Host;
use super::instances::Entry;
use super::wire::{AutoProgressConfig, decode};
use super::{App, BODY_BYTES_MAX, body_of, respond};
use crate::instance::Instance;

/// The least time between two rounds.
const ROUND_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// The loop of a live instance; ends when dropped.
pub struct Progress {
    task: AbortHandle,
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Tells whether an instance is live.
pub async fn enabled(State(app): State<App>, Path(instance): Path<String>) -> Response {
    respond(app.instances.find(&instance).map(|entry| Answer::ok(&is_live(&entry))))
}

/// Makes an instance live; answers once its certified time is the wall clock's.
pub async fn start(State(app): State<App>, Path(instance): Path<String>, body: Body) -> Response {
    respond(
        async {
            let entry = app.instances.find(&instance)?;
            let config: AutoProgressConfig = decode(&body_of(body, BODY_BYTES_MAX).await?)?;
            go_live(&entry, config).await.map(|()| Answer::ok(&()))
        }
        .await,
    )
}

/// Ends live mode; nothing happens when the instance isn't live.
pub async fn stop(State(app): State<App>, Path(instance): Path<String>) -> Response {
    respond(app.instances.find(&instance).map(|entry| {
        entry.progress().take();
        Answer::ok(&())
    }))
}

/// Starts the loop of an instance.
///
/// # Errors
/// `Bad` when it runs already; what the instance refuses.
pub async fn go_live(entry: &Arc<Entry>, config: AutoProgressConfig) -> Result<(), Refusal> {
    if is_live(entry) {
        return Err(Refusal::Bad("Automatic progress is enabled already.".to_string()));
    }
    // An instance whose time is ahead of the wall clock stays ahead by as much: its time can't go back.
    let ahead = entry
        .host
        .run(|instance| {
            let (now, wall) = (instance.time_nanos(), wall_nanos());
            instance.set_certified_time(now.max(wall)).map(|()| now.saturating_sub(wall))
        })
        .await?
        .map_err(Refusal::Bad)?;
    let interval = config.artificial_delay_ms.map(Duration::from_millis).unwrap_or_default().max(ROUND_INTERVAL_MIN);
    let mut progress = entry.progress();
    if progress.as_ref().is_some_and(|progress| !progress.task.is_finished()) {
        return Err(Refusal::Bad("Automatic progress is enabled already.".to_string()));
    }
    let task = tokio::spawn(keep_going(entry.host.clone(), ahead, interval)).abort_handle();
    *progress = Some(Progress { task });
    Ok(())
}

fn is_live(entry: &Entry) -> bool {
    entry.progress().as_ref().is_some_and(|progress| !progress.task.is_finished())
}

/// Runs rounds until the instance breaks, is deleted, or live mode is stopped.
async fn keep_going(host: Host, ahead: u64, interval: Duration) {
    while host.run(move |instance| round(instance, ahead)).await.is_ok() {
        tokio::time::sleep(interval).await;
    }
}

fn round(instance: &mut Instance, ahead: u64) {
    let now = wall_nanos().saturating_add(ahead);
    if now > instance.time_nanos() {
        // Refused only for a time in the past, which the line above excludes.
        let _ = instance.set_time(now);
    }
    instance.tick();
}

#[expect(clippy::disallowed_methods, reason = "a live instance is told the wall clock's time, and only here")]
fn wall_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
