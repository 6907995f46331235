//! Bugs that are planted to see whether they are found.
//!
//! Each is a change of a few lines, made in a copy of the sources, from which router and shard are built; the sources
//! themselves know nothing of it, so no release can contain one.

mod search;
#[cfg(test)]
mod tests;
mod uploads;
mod workshop;

pub use search::{Finding, SEEDS_MAX, search};
pub use workshop::Workshop;

/// A text of a source file that is replaced. It occurs exactly once.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    pub file: &'static str,
    pub find: &'static str,
    pub replace: &'static str,
}

/// What is to notice a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checker {
    ExactlyOnce,
    Linearizability,
    /// What one answer may say by itself.
    Answers,
    Rights,
    Rates,
    Cover,
    Canisters,
    Cycles,
    Recovery,
    /// The shard's own tests of transfers and imports: both ends have clocks of their own, which are the same on one
    /// subnet, batches come later than calls do that are waited for, and a shard begins while it clears up, which takes one
    /// turn where records are few.
    TestsOfTransfers,
    /// The enumeration's transfers in which a message of the router traps, and no administrator wakes it up.
    TrapsOfTheRouter,
    Uploads,
}

/// A bug.
#[derive(Clone, Copy, Debug)]
pub struct Planted {
    pub name: &'static str,
    pub checker: Checker,
    pub edits: &'static [Edit],
}

/// All planted bugs.
pub const ALL: &[Planted] = &[
    Planted {
        name: "put-sent-again",
        checker: Checker::ExactlyOnce,
        edits: &[Edit {
            file: "router/src/calls/attempts.rs",
            find: "if is_unknown { self.request.effect != Effect::Write }",
            replace: "if is_unknown { true }",
        }],
    },
    Planted {
        name: "unknown-called-refused",
        checker: Checker::Linearizability,
        edits: &[Edit { file: "router/src/calls.rs", find: "1 | 2 | 3 | 5 =>", replace: "1 | 2 | 3 | 5 | 6 =>" }],
    },
    Planted {
        name: "receipt-not-stored",
        checker: Checker::ExactlyOnce,
        edits: &[
            Edit {
                file: "shard/src/store/write.rs",
                find: "            issued: self.issued,",
                replace: "            issued: 0,",
            },
        ],
    },
    Planted {
        name: "refusal-without-receipt",
        checker: Checker::ExactlyOnce,
        edits: &[
            Edit {
                file: "shard/src/store/write.rs",
                find: "        if let Some(operation) = operation {
            self.keep_receipt(",
                replace: "        if let Some(operation) = operation.filter(|_| !matches!(outcome, Outcome::Refused { .. })) {
            self.keep_receipt(",
            },
        ],
    },
    Planted {
        name: "nothing-deleted-without-receipt",
        checker: Checker::ExactlyOnce,
        edits: &[
            Edit {
                file: "shard/src/store/write.rs",
                find: "        if let Some(operation) = operation {
            self.keep_receipt(",
                replace: "        if let Some(operation) = operation.filter(|_| outcome != Outcome::Absent) {
            self.keep_receipt(",
            },
        ],
    },
    Planted {
        name: "digest-not-compared",
        checker: Checker::ExactlyOnce,
        edits: &[
            Edit {
                file: "shard/src/store/write.rs",
                find: "Some(receipt) if receipt.operation.arguments != operation.arguments =>",
                replace: "Some(receipt) if receipt.operation.arguments != operation.arguments && operation.arguments == 0 =>",
            },
        ],
    },
    Planted {
        name: "receipt-forgotten-early",
        checker: Checker::ExactlyOnce,
        edits: &[
            Edit {
                file: "shard/src/store/write.rs",
                find: "        is_live(milliseconds_up(receipt.operation.issued), self.now())",
                replace: "        is_live(milliseconds_up(receipt.operation.issued), self.now() + 600_000)",
            },
        ],
    },
    Planted {
        name: "receipt-swept-early",
        checker: Checker::ExactlyOnce,
        edits: &[
            Edit {
                file: "shard/src/store/receipts.rs",
                find: "self.lists[at].head != 0 && !is_live(last_issued, now)",
                replace: "self.lists[at].head != 0 && !is_live(last_issued, now + 800_000)",
            },
        ],
    },
    Planted {
        name: "window-too-long",
        checker: Checker::ExactlyOnce,
        edits: &[
            Edit {
                file: "shard/src/store/write.rs",
                find: "        if !is_live(issued, now) {",
                replace: "        if !is_live(issued + 60_000, now) {",
            },
        ],
    },
    Planted {
        name: "window-too-early",
        checker: Checker::ExactlyOnce,
        edits: &[
            Edit {
                file: "shard/src/store/write.rs",
                find: "        let newest = now + ISSUED_AHEAD_MILLISECONDS;",
                replace: "        let newest = now + 2 * ISSUED_AHEAD_MILLISECONDS;",
            },
        ],
    },
    Planted {
        name: "receipt-lost-at-displacement",
        checker: Checker::ExactlyOnce,
        edits: &[
            Edit {
                file: "shard/src/store/write.rs",
                find: "        let displaced = located.record.as_ref().and_then(|record| self.live_receipt(record));",
                replace: "        let displaced = located.record.as_ref().and_then(|record| self.live_receipt(record)).filter(|_| false);",
            },
        ],
    },
    Planted {
        name: "receipt-lost-at-delete",
        checker: Checker::ExactlyOnce,
        edits: &[
            Edit {
                file: "shard/src/store/write.rs",
                find: "let kept: [Option<Receipt>; 2] = [self.live_receipt(record), own];",
                replace: "let kept: [Option<Receipt>; 2] = [None, own];",
            },
        ],
    },
    Planted {
        name: "delete-without-receipt",
        checker: Checker::ExactlyOnce,
        edits: &[
            Edit {
                file: "shard/src/store/write.rs",
                find: "let kept: [Option<Receipt>; 2] = [self.live_receipt(record), own];",
                replace: "let kept: [Option<Receipt>; 2] = [self.live_receipt(record), own.filter(|_| false)];",
            },
        ],
    },
    Planted {
        name: "precondition-before-receipt",
        checker: Checker::ExactlyOnce,
        edits: &[
            Edit {
                file: "shard/src/store/write.rs",
                find: "        if let Some(answer) = self.replay(&put.key, &located, put.operation.as_ref())? {",
                replace: "        if put.precondition.holds(self.current_version(&located))
            && let Some(answer) = self.replay(&put.key, &located, put.operation.as_ref())?
        {",
            },
        ],
    },
    Planted {
        name: "version-after-delete",
        checker: Checker::ExactlyOnce,
        edits: &[
            Edit {
                file: "shard/src/store/write.rs",
                find: ".max(self.counters.removed_version);",
                replace: "; let _ = self.counters.removed_version;",
            },
        ],
    },
    Planted {
        name: "caller-not-in-identity",
        checker: Checker::ExactlyOnce,
        edits: &[
            Edit {
                file: "shard/src/operations.rs",
                find: "    bytes[1..][..caller.len()].copy_from_slice(caller);
",
                replace: "",
            },
        ],
    },
    Planted {
        name: "record-never-ends",
        checker: Checker::Linearizability,
        edits: &[
            Edit {
                file: "shard/src/store/record.rs",
                find: "self.expires != 0 && self.expires <= now",
                replace: "self.expires != 0 && self.expires <= now && now == 0",
            },
        ],
    },
    Planted {
        name: "record-ends-early",
        checker: Checker::Linearizability,
        edits: &[
            Edit {
                file: "shard/src/store/record.rs",
                find: "self.expires != 0 && self.expires <= now",
                replace: "self.expires != 0 && self.expires <= now + 500",
            },
        ],
    },
    Planted {
        name: "precondition-ignored",
        checker: Checker::Linearizability,
        edits: &[
            Edit {
                file: "shard/src/store/write.rs",
                find: "            Precondition::Version(version) => current == Some(version),",
                replace: "            Precondition::Version(version) => current >= Some(version),",
            },
        ],
    },
    Planted {
        name: "large-value-cut",
        checker: Checker::Linearizability,
        edits: &[Edit {
            file: "router/src/operations.rs",
            find: "    check_value(put.value)?;",
            replace: "    let put = PutRef { value: if put.value.len() > 900_000 { &put.value[1..] } else { put.value }, ..put };
    check_value(put.value)?;",
        }],
    },
    Planted {
        name: "cache-filled-late",
        checker: Checker::Linearizability,
        edits: &[
            Edit {
                file: "router/src/operations.rs",
                find: "        Ok(request) => handing_on::update(request, caller, answer_get),",
                replace: "        Ok(request) => match CACHE.with_borrow(|cache| cache.get(&request.arguments).cloned()) {
            Some(hit) => ic_cdk::api::msg_reply(hit),
            None => handing_on::update(request, caller, answer_get),
        },",
            },
            Edit {
                file: "router/src/calls/handing_on.rs",
                find: "            if let Some(update) = &call.update {",
                replace: "            if call.attempts.request.method == \"get\" {
                let arguments = call.attempts.request.arguments.clone();
                crate::operations::CACHE.with_borrow_mut(|cache| cache.insert(arguments, bytes.clone()));
            }
            if let Some(update) = &call.update {",
            },
            Edit {
                file: "router/src/operations.rs",
                find: "    check_value(put.value)?;",
                replace: "    CACHE.with_borrow_mut(|cache| cache.clear());
    check_value(put.value)?;",
            },
            Edit {
                file: "router/src/operations.rs",
                find: "    authorise_key(reach, Role::Writer, caller, delete.key)?;",
                replace: "    CACHE.with_borrow_mut(|cache| cache.clear());
    authorise_key(reach, Role::Writer, caller, delete.key)?;",
            },
            Edit {
                file: "router/src/operations.rs",
                find: "pub const APPLY: &str = \"apply\";",
                replace: "pub const APPLY: &str = \"apply\";
thread_local! {
    pub static CACHE: std::cell::RefCell<std::collections::BTreeMap<Vec<u8>, Vec<u8>>> = const {
        std::cell::RefCell::new(std::collections::BTreeMap::new())
    };
}",
            },
        ],
    },
    Planted {
        name: "refused-after-unknown",
        checker: Checker::ExactlyOnce,
        edits: &[
            Edit {
                file: "router/src/calls/attempts.rs",
                find: "return Err(self.unknown.take().unwrap_or(failure));",
                replace: "return Err(failure);",
            },
        ],
    },
    Planted {
        name: "index-not-in-identity",
        checker: Checker::ExactlyOnce,
        edits: &[
            Edit {
                file: "shard/src/operations.rs",
                find: ".copy_from_slice(&index.to_le_bytes());",
                replace: ".copy_from_slice(&(index & 0).to_le_bytes());",
            },
        ],
    },
    Planted {
        name: "answers-out-of-place",
        checker: Checker::ExactlyOnce,
        edits: &[
            Edit {
                file: "router/src/batches/answers.rs",
                find: "part.places.iter().zip(answers)",
                replace: "part.places.iter().rev().zip(answers)",
            },
        ],
    },
    Planted {
        name: "scan-loses-records",
        checker: Checker::Linearizability,
        edits: &[
            Edit {
                file: "shard/src/scan.rs",
                find: "            let Item::Record { key, found, value, .. } = item else { return };
",
                replace: "            let Item::Record { key, found, value, .. } = item else { return };
            if found.version % 4 == 0 {
                return;
            }
",
            },
        ],
    },
    Planted {
        name: "scan-starts-anew",
        checker: Checker::Answers,
        edits: &[
            Edit {
                file: "shard/src/scan.rs",
                find: "            after,
            receipts: false,",
                replace: "            after: after.filter(|_| false),
            receipts: false,",
            },
        ],
    },
    Planted {
        name: "prefix-ignored",
        checker: Checker::Rights,
        edits: &[Edit {
            file: "types/src/roles.rs",
            find: "rights.add(grant.role, grant.prefix.clone());",
            replace: "rights.add(grant.role, None);",
        }],
    },
    Planted {
        name: "revocation-forgotten",
        checker: Checker::Rights,
        edits: &[Edit { file: "router/src/roles.rs", find: "        self.list.remove(grant);", replace: "" }],
    },
    Planted {
        name: "batch-unchecked",
        checker: Checker::Rights,
        edits: &[
            Edit {
                file: "router/src/batches.rs",
                find: "        authorise_key(reach, Role::Writer, caller, put.key)?;",
                replace: "        let _ = reach;",
            },
        ],
    },
    Planted {
        name: "scan-unchecked",
        checker: Checker::Rights,
        edits: &[
            Edit {
                file: "router/src/scan.rs",
                find: "    authorise_key(reach, Role::Reader, caller, keys).map_err(|refusal| self::refusal(refusal.into()))?;",
                replace: "    let _ = (reach, keys, authorise_key);",
            },
        ],
    },
    Planted {
        name: "direct-call-unchecked",
        checker: Checker::Rights,
        edits: &[
            Edit {
                file: "shard/src/access.rs",
                find: "if reach != Reach::Everything && !self.roles.covers(caller, required, key)",
                replace: "if reach == Reach::Nothing && !self.roles.covers(caller, required, key)",
            },
        ],
    },
    Planted {
        name: "direct-batch-unchecked",
        checker: Checker::Rights,
        edits: &[
            Edit {
                file: "shard/src/access.rs",
                find: "if permit != Permit::Direct(Reach::Everything) && !self.roles.covers(caller, role, key)",
                replace: "if permit == Permit::Direct(Reach::Nothing) && !self.roles.covers(caller, role, key)",
            },
        ],
    },
    Planted {
        name: "rate-not-counted",
        checker: Checker::Rates,
        edits: &[
            Edit {
                file: "types/src/rate.rs",
                find: "        used.operations_until = moved(limits.operations_per_minute_max, used.operations_until, operations, now);
",
                replace: "        let _ = operations;
",
            },
        ],
    },
    Planted {
        name: "routing-table-cut",
        checker: Checker::Cover,
        edits: &[Edit {
            file: "router/src/service.rs",
            find: "routes: routing.table.routes.clone(),",
            replace: "routes: routing.table.routes.iter().take(3).cloned().collect(),",
        }],
    },
    Planted {
        name: "shards-overlap",
        checker: Checker::Cover,
        edits: &[
            Edit {
                file: "router/src/runner.rs",
                find: "        range: entry.range,",
                replace: "        range: if entry.index.0 == 3 { canopy_types::HashRange::FULL } else { entry.range },",
            },
            Edit { file: "router/src/journal/answers.rs", find: " || info.range != entry.range", replace: "" },
        ],
    },
    Planted {
        name: "creation-tried-again",
        checker: Checker::Canisters,
        edits: &[Edit {
            file: "router/src/journal/answers.rs",
            find: "                self.alarm = Some(Alarm::CreationAnswerLost { shard, asked_at_nanoseconds: asked_at });",
            replace: "                let _ = (shard, asked_at);
                self.fail(step, \"the answer was lost\".to_string(), now);",
        }],
    },
    Planted {
        name: "cycles-at-risk",
        checker: Checker::Cycles,
        edits: &[Edit {
            file: "router/src/calls/attempts.rs",
            find: "        ic0::call_data_append(arguments);",
            replace: "        if timeout_seconds.is_some() {
            ic0::call_cycles_add128(1_000_000_000);
        }
        ic0::call_data_append(arguments);",
        }],
    },
    Planted {
        name: "timer-not-set-again",
        checker: Checker::TrapsOfTheRouter,
        edits: &[Edit {
            file: "router/src/runner.rs",
            find: "state.wake_at.is_some_and(|at| at.saturating_add(OVERDUE_NANOSECONDS) < now)",
            replace: "state.wake_at.is_some_and(|at| at == u64::MAX && now < OVERDUE_NANOSECONDS)",
        }],
    },
    Planted {
        name: "open-calls-miscounted",
        checker: Checker::Recovery,
        edits: &[Edit {
            file: "router/src/state.rs",
            find: "*open = open.saturating_sub(1);",
            replace: "*open = open.saturating_sub(u32::from(*open != 8));",
        }],
    },
    Planted {
        name: "transfer-takes-in-older",
        checker: Checker::TestsOfTransfers,
        edits: &[Edit {
            file: "shard/src/store/transfer.rs",
            find: "record.header.version >= import.version",
            replace: "record.header.version >= import.version && import.version == 0",
        }],
    },
    Planted {
        name: "range-not-closed",
        checker: Checker::Cover,
        edits: &[Edit {
            file: "shard/src/transfer/stored.rs",
            find: "        matches!(self.stage, Stage::HandingOver { .. } | Stage::Asking)
",
            replace: "        false
",
        }],
    },
    Planted {
        name: "anyone-hands-over",
        checker: Checker::Cover,
        edits: &[Edit {
            file: "shard/src/transfer/stored.rs",
            find: "                if current.peer == caller {",
            replace: "                if current.peer != Principal::management_canister() {",
        }],
    },
    Planted {
        name: "source-opens-by-itself",
        checker: Checker::Cover,
        edits: &[Edit {
            file: "shard/src/transfer/stored.rs",
            find: "                Stage::HandingOver { .. } | Stage::Asking => {
                    current.stage = Stage::Asking;
                    return Ok(TransferPhase::Asking);
                }",
            replace: "                Stage::HandingOver { .. } | Stage::Asking => self.end(TransferEnd::Cancelled),",
        }],
    },
    Planted {
        name: "ended-transfers-forgotten",
        checker: Checker::Recovery,
        edits: &[Edit {
            file: "shard/src/transfer/stored.rs",
            find: "        self.ended.push(EndedTransfer { id, end, peer });",
            replace: "        self.ended.push(EndedTransfer { id, end, peer });
        self.ended.clear();",
        }],
    },
    Planted {
        name: "changes-not-noted",
        checker: Checker::Linearizability,
        edits: &[Edit {
            file: "shard/src/store/changes.rs",
            find: "            watch.changed.insert(place);",
            replace: "            watch.changed.extend(None::<Place>);",
        }],
    },
    Planted {
        name: "receipts-stay-behind",
        checker: Checker::ExactlyOnce,
        edits: &[Edit {
            file: "shard/src/store/transfer.rs",
            find: "let operation = import.receipt.filter(|receipt| self.keeps(receipt))",
            replace: "let operation = import.receipt.filter(|_| false)",
        }],
    },
    Planted {
        name: "displaced-receipts-stay-behind",
        checker: Checker::ExactlyOnce,
        edits: &[Edit {
            file: "shard/src/store/transfer.rs",
            find: "        if from_future || !self.keeps(receipt) || is_here(self) {",
            replace: "        if from_future || !self.keeps(receipt) || is_here(self) || receipt.operation.issued > 0 {",
        }],
    },
    Planted {
        name: "no-tombstones-while-sending",
        checker: Checker::Linearizability,
        edits: &[Edit {
            file: "shard/src/transfer/turn.rs",
            find: ".is_some_and(|current| current.is_source() && current.range.contains(KeyHash(hash)))",
            replace: ".is_some_and(|current| !current.is_source() && current.range.contains(KeyHash(hash)))",
        }],
    },
    Planted {
        name: "begins-before-it-is-cleared",
        checker: Checker::TestsOfTransfers,
        edits: &[Edit {
            file: "shard/src/transfer/stored.rs",
            find: "        if self.clearing.is_some() {",
            replace: "        if self.clearing.is_some() && epoch.0 == 0 {",
        }],
    },
    Planted {
        name: "version-does-not-travel",
        checker: Checker::TestsOfTransfers,
        edits: &[Edit {
            file: "shard/src/transfer/turn.rs",
            find: "self.store.observe(arguments.shard_time_nanoseconds, arguments.removed_version);",
            replace: "",
        }],
    },
    Planted {
        name: "shard-time-does-not-travel",
        checker: Checker::TestsOfTransfers,
        edits: &[
            Edit {
                file: "shard/src/transfer/turn.rs",
                find: "self.store.observe(arguments.shard_time_nanoseconds, arguments.removed_version);",
                replace: "self.store.observe(0, arguments.removed_version);",
            },
            Edit {
                file: "shard/src/transfer/turn.rs",
                find: "self.store.observe(arguments.shard_time_nanoseconds, 0);",
                replace: "",
            },
        ],
    },
    Planted {
        name: "old-epochs-begin",
        checker: Checker::TestsOfTransfers,
        edits: &[Edit {
            file: "shard/src/transfer/stored.rs",
            find: "        if epoch.0 <= seen {",
            replace: "        if epoch.0 == 0 {",
        }],
    },
    Planted {
        name: "router-believes-too-early",
        checker: Checker::Cover,
        edits: &[Edit {
            file: "router/src/transfers/running.rs",
            find: "            _ => {
                let stops = self.stop.is_some()",
            replace: "            (_, TransferPhase::HandingOver) => Next::End(TransferEnd::Done),
            _ => {
                let stops = self.stop.is_some()",
        }],
    },
    uploads::PUBLISHED_AFTER_THE_END,
    uploads::CHUNKS_NOT_COMPARED,
    uploads::COLLECTED_WITHOUT_GRACE,
    uploads::PUBLISHED_COLLECTED,
    uploads::NOT_REPLACED_BY_PUT,
    uploads::NOT_REPLACED_BY_DELETE,
    uploads::NOT_REPLACED_BY_EXPIRY,
    uploads::ABORTED_NEVER_COLLECTED,
    uploads::FORGOTTEN_BEFORE_ITS_TIME,
    uploads::UPLOADS_STAY_BEHIND,
    uploads::CHUNKS_WITHOUT_KEY,
];

/// Finds a planted bug by its name.
///
/// # Errors
/// A name that none has.
pub fn find(name: &str) -> Result<&'static Planted, String> {
    ALL.iter().find(|planted| planted.name == name).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|planted| planted.name).collect();
        format!("there is no planted bug `{name}`; there are {}", names.join(", "))
    })
}

/// Applies an edit to the text of its file.
///
/// # Errors
/// The text to replace isn't there exactly once: the sources have changed, and the edit must follow.
pub fn apply(edit: &Edit, text: &str) -> Result<String, String> {
    match text.matches(edit.find).count() {
        1 => Ok(text.replacen(edit.find, edit.replace, 1)),
        times => Err(format!("{}: {times} times, not once: {}", edit.file, edit.find)),
    }
}
