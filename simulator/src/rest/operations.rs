//! Operations that outlast the patience of their request: answered 202 with a label and an id, asked for later.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::oneshot;

use super::activity::Pending;
use super::answer::{Answer, Refusal};
use super::wire::StartedOperation;

/// How long a request waits for its operation, unless its header says otherwise.
pub const WAIT_DEFAULT: Duration = Duration::from_secs(10);
/// Operations kept, running or waiting to be asked for. Beyond it the oldest finished one is forgotten.
const OPERATIONS_MAX: usize = 1_024;

/// Operations by id. The state label of an operation is the number of its instance.
#[derive(Clone, Default)]
pub struct Operations {
    table: Arc<Mutex<Table>>,
}

#[derive(Default)]
struct Table {
    next: u64,
    kept: BTreeMap<u64, (String, Option<Answer>)>,
}

impl Operations {
    /// Waits for an answer; after `wait` keeps it for later and answers where it will be.
    pub async fn wait_or_keep(
        &self,
        label: String,
        wait: Duration,
        mut answer: oneshot::Receiver<Result<Answer, Refusal>>,
        pending: Pending,
    ) -> Answer {
        if let Ok(received) = tokio::time::timeout(wait, &mut answer).await {
            return finish(received);
        }
        let Some(id) = self.reserve(&label) else {
            return Refusal::Overloaded(format!("{OPERATIONS_MAX} operations are running already.")).into();
        };
        let table = self.table.clone();
        tokio::spawn(async move {
            let finished = finish(answer.await);
            if let Some((_, slot)) = lock(&table).kept.get_mut(&id) {
                *slot = Some(finished);
            }
            drop(pending);
        });
        Answer::new(StatusCode::ACCEPTED, &StartedOperation { state_label: label, op_id: id.to_string() })
    }

    fn reserve(&self, label: &str) -> Option<u64> {
        let mut table = lock(&self.table);
        if table.kept.len() >= OPERATIONS_MAX {
            let finished = table.kept.iter().find(|(_, (_, answer))| answer.is_some()).map(|(id, _)| *id)?;
            table.kept.remove(&finished);
        }
        table.next += 1;
        let id = table.next;
        table.kept.insert(id, (label.to_string(), None));
        Some(id)
    }

    /// Reads an operation's answer.
    ///
    /// # Errors
    /// `NotFound` while it runs, and when it is not known.
    pub fn read(&self, label: &str, id: &str) -> Result<Answer, Refusal> {
        let table = lock(&self.table);
        let known = id.parse().ok().and_then(|id: u64| table.kept.get(&id)).filter(|(of, _)| of == label);
        match known {
            Some((_, Some(answer))) => Ok(answer.clone()),
            Some((_, None)) => Err(Refusal::NotFound(format!("Operation {id} has not finished."))),
            None => Err(Refusal::NotFound(format!("There is no operation {id} under {label}."))),
        }
    }

    /// Forgets an operation's answer.
    ///
    /// # Errors
    /// `NotFound` when it is not known.
    pub fn prune(&self, label: &str, id: &str) -> Result<(), Refusal> {
        let mut table = lock(&self.table);
        let key = id.parse().ok().filter(|id: &u64| table.kept.get(id).is_some_and(|(of, _)| of == label));
        let removed = key.and_then(|key| table.kept.remove(&key));
        removed.map(drop).ok_or_else(|| Refusal::NotFound(format!("There is no operation {id} under {label}.")))
    }
}

fn finish(received: Result<Result<Answer, Refusal>, oneshot::error::RecvError>) -> Answer {
    let gone = |_| Err(Refusal::Bad("The instance was deleted before it answered.".to_string()));
    received.unwrap_or_else(gone).unwrap_or_else(Answer::from)
}

fn lock(table: &Mutex<Table>) -> std::sync::MutexGuard<'_, Table> {
    table.lock().expect("nothing panics while holding it")
}
