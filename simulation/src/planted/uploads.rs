//! Bugs of uploads: how they end, what becomes of their chunks, and whose they are.

use super::{Checker, Edit, Planted};

/// Publishes an upload that was given up.
pub const PUBLISHED_AFTER_THE_END: Planted = Planted {
    name: "published-after-the-end",
    checker: Checker::Uploads,
    edits: &[Edit {
        file: "shard/src/uploads/records.rs",
        find: "            UploadState::Aborted => return Err(UploadFault::Aborted.into()),
",
        replace: "            UploadState::Aborted => {}
",
    }],
};

/// Publishes what nobody compared with its chunks.
pub const CHUNKS_NOT_COMPARED: Planted = Planted {
    name: "chunks-not-compared",
    checker: Checker::Uploads,
    edits: &[Edit {
        file: "router/src/uploads.rs",
        find: "    if record.state == UploadState::Open {
        let digests",
        replace: "    if record.state == UploadState::Aborted {
        let digests",
    }],
};

/// Collects chunks as soon as their value was replaced.
pub const COLLECTED_WITHOUT_GRACE: Planted = Planted {
    name: "collected-without-grace",
    checker: Checker::Uploads,
    edits: &[Edit {
        file: "shard/src/uploads/stored.rs",
        find: "self.since_nanoseconds.saturating_add(self.kept_milliseconds.saturating_mul(1_000_000))",
        replace: "self.since_nanoseconds",
    }],
};

/// Collects the chunks of a value that is there.
pub const PUBLISHED_COLLECTED: Planted = Planted {
    name: "published-collected",
    checker: Checker::Uploads,
    edits: &[
        Edit {
            file: "shard/src/uploads/records.rs",
            find: "let due = (!is_published).then(|| record.collected_from());",
            replace: "let due = (!is_published || record.until_nanoseconds > 0).then(|| record.collected_from());",
        },
        Edit {
            file: "shard/src/uploads/collecting.rs",
            find: "                UploadState::Open | UploadState::Published { .. } => {}
                UploadState::Aborted | UploadState::Refused { .. } | UploadState::Replaced { .. } => {",
            replace: "                UploadState::Open => {}
                _ => {",
        },
    ],
};

/// Forgets that a put replaced a large value.
pub const NOT_REPLACED_BY_PUT: Planted = Planted {
    name: "not-replaced-by-put",
    checker: Checker::Uploads,
    edits: &[Edit {
        file: "shard/src/operations.rs",
        find: "        let outcome = self.store.put(&put).map_err(refusal)?.outcome;
        self.settle_displaced();",
        replace: "        let outcome = self.store.put(&put).map_err(refusal)?.outcome;
        self.store.take_displaced();",
    }],
};

/// Forgets that a delete removed a large value.
pub const NOT_REPLACED_BY_DELETE: Planted = Planted {
    name: "not-replaced-by-delete",
    checker: Checker::Uploads,
    edits: &[Edit {
        file: "shard/src/operations.rs",
        find: "        let outcome = self.store.delete(&delete).map_err(refusal)?.outcome;
        self.settle_displaced();",
        replace: "        let outcome = self.store.delete(&delete).map_err(refusal)?.outcome;
        self.store.take_displaced();",
    }],
};

/// Forgets that the end of a large value came.
pub const NOT_REPLACED_BY_EXPIRY: Planted = Planted {
    name: "not-replaced-by-expiry",
    checker: Checker::Uploads,
    edits: &[Edit {
        file: "shard/src/state.rs",
        find: "            self.settle_displaced();
            self.look_at_due_uploads();",
        replace: "            self.store.take_displaced();
            self.look_at_due_uploads();",
    }],
};

/// Never collects the chunks of an upload that was given up.
pub const ABORTED_NEVER_COLLECTED: Planted = Planted {
    name: "aborted-never-collected",
    checker: Checker::Uploads,
    edits: &[Edit {
        file: "shard/src/uploads/collecting.rs",
        find: "                UploadState::Open | UploadState::Published { .. } => {}
                UploadState::Aborted | UploadState::Refused",
        replace: "                UploadState::Open | UploadState::Published { .. } | UploadState::Aborted => {}
                UploadState::Refused",
    }],
};

/// Forgets an upload while chunks of it can still come.
pub const FORGOTTEN_BEFORE_ITS_TIME: Planted = Planted {
    name: "forgotten-before-its-time",
    checker: Checker::Uploads,
    edits: &[Edit {
        file: "shard/src/uploads/collecting.rs",
        find: "    record.until_nanoseconds.saturating_add(LATE_NANOSECONDS) <= now",
        replace: "    record.since_nanoseconds <= now",
    }],
};

/// Leaves the records of uploads behind when their range moves.
pub const UPLOADS_STAY_BEHIND: Planted = Planted {
    name: "uploads-stay-behind",
    checker: Checker::Uploads,
    edits: &[Edit {
        file: "shard/src/store/transfer.rs",
        find: "        check_sizes(&import.key, import.value)?;
",
        replace: "        check_sizes(&import.key, import.value)?;
        if import.kind == Kind::Upload {
            return Ok(Imported::Stale);
        }
",
    }],
};

/// Takes uploads of one id under several keys for one.
pub const CHUNKS_WITHOUT_KEY: Planted = Planted {
    name: "chunks-without-key",
    checker: Checker::Uploads,
    edits: &[
        Edit {
            file: "shard/src/uploads/chunks.rs",
            find: "            Some(stored) if stored.key_hash != key_hash => Err(UploadFault::UploadReused.into()),
",
            replace: "",
        },
        Edit {
            file: "shard/src/uploads/chunks.rs",
            find: "self.stored_chunk(key).filter(|chunk| chunk.key_hash == key_hash)",
            replace: "self.stored_chunk(key).filter(|chunk| chunk.key_hash.0 | key_hash.0 > 0)",
        },
    ],
};
