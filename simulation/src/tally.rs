//! What a campaign must have seen: each kind of answer, of sending again, of precondition.

use std::collections::BTreeMap;

use canopy_types::Precondition;

use crate::history::Outcome;

macro_rules! happenings {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// Something that a campaign must have put to the test.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Happening { $($(#[$doc])* $name),* }

        impl Happening {
            pub const ALL: &[Happening] = &[$(Happening::$name),*];

            pub fn text(self) -> &'static str {
                match self { $(Happening::$name => $text),* }
            }
        }
    };
}

happenings! {
    PutDone = "answer: put done";
    DeleteDone = "answer: deleted";
    NothingDeleted = "answer: nothing to delete";
    RecordRead = "answer: record";
    RecordReadWithoutValue = "answer: record without its value";
    NothingRead = "answer: no record";
    EndingRecordRead = "answer: record that will end";
    LargeValueRead = "answer: record of 1 MiB";
    NotReady = "answer: NotReady";
    BusyCycles = "answer: Busy, cycles";
    BusyPlatform = "answer: Busy, platform";
    BusyShardGrows = "answer: Busy, shard grows";
    BusyRateLimit = "answer: Busy, rate limit";
    /// Needs more callers or writes than a run has, so a campaign may lack it.
    BusyOther = "answer: Busy, other";
    BusyRangeMoves = "answer: Busy, range moves";
    Moving = "answer: Moving";
    OutOfSpace = "answer: OutOfSpace";
    ShardUnavailable = "answer: ShardUnavailable";
    Unknown = "answer: Unknown";
    TooOld = "answer: OperationTooOld";
    FromTheFuture = "answer: OperationFromTheFuture";
    IdReused = "answer: OperationIdReused";
    Unauthorised = "answer: Unauthorised";
    RolesUnknown = "answer: RolesUnknown";
    /// A get of a batch for which the reply had no room.
    AskAgain = "answer: AskAgain";
    /// An item of a batch that was sent to a shard of another range.
    WrongShard = "answer: WrongShard";
    /// An item of a batch that was refused because of another.
    BatchRefused = "answer: batch refused for another item";
    PutManyAnswered = "batch: put_many answered";
    GetManyAnswered = "batch: get_many answered";
    DeleteManyAnswered = "batch: delete_many answered";
    ApplyAnswered = "batch: answered by a shard itself";
    /// Some items of a batch of writes were done, others were not or nobody knows.
    BatchPartly = "batch: done in part";
    BatchPartlyUnknown = "batch: unknown in part";
    BatchAgain = "batch: sent again";
    PageAnswered = "scan: page answered";
    PageQueried = "scan: page answered by query";
    PageOfShard = "scan: page answered by a shard itself";
    PageOfPrefix = "scan: page of a prefix answered";
    PageOfRange = "scan: page of a range answered";
    PageOfKeys = "scan: page of keys only answered";
    NextPage = "scan: next page asked for";
    PageAgain = "scan: page asked for again";
    ScanEnded = "scan: walked to its end";
    Direct = "sent to the shard itself";
    /// The platform's reject of a message that never ran.
    Rejected = "platform: rejected unrun";
    /// The platform's reject of a message that may have run.
    RejectedLate = "platform: rejected, perhaps after it ran";
    Expired = "platform: ingress message expired";
    NotSubmitted = "platform: ingress message refused";
    CallNotSent = "platform: call not sent";
    CallUnknown = "platform: call unknown";
    CallRejected = "platform: call rejected";
    GaveUp = "sender gave up";
    AgainAfterUnknown = "again after Unknown";
    AgainAfterBusy = "again after Busy";
    AgainAfterNotReady = "again after NotReady";
    AgainAfterOutOfSpace = "again after OutOfSpace";
    AgainAfterUnavailable = "again after ShardUnavailable";
    AgainAfterUnauthorised = "again after Unauthorised";
    AgainAfterWrongShard = "again after WrongShard";
    AgainAfterFuture = "again after OperationFromTheFuture";
    AgainAfterReject = "again after a reject";
    AgainAfterExpiry = "again after an expired message";
    AgainAfterGivingUp = "again after giving up";
    Twice = "sent twice at once";
    LateWithin = "late again within 15 minutes";
    LateBeyond = "late again beyond 15 minutes";
    /// An operation that may have run was told its outcome by a later sending.
    Settled = "unknown settled by sending again";
    SettledInTheEnd = "unknown settled after the faults";
    /// An operation was told its outcome more than once.
    Repeated = "outcome told again";
    IdOfAnother = "id of another client's operation";
    IdWithOtherArguments = "id with other arguments";
    IdAtAnotherPlace = "id at another place of a batch";
    AbsentHeld = "precondition absent held";
    AbsentFailed = "precondition absent failed";
    PresentHeld = "precondition present held";
    PresentFailed = "precondition present failed";
    VersionHeld = "precondition version held";
    VersionFailed = "precondition version failed";
    Granted = "role granted";
    Revoked = "role revoked";
    Limited = "rate limit set";
    SplitByItself = "shard split by itself";
    TransferDone = "range handed over";
    TransferCancelled = "transfer cancelled";
    WithoutName = "write without operation";
    UploadBegun = "upload: begun";
    UploadBegunAgain = "upload: begun again";
    UploadRefusedAtOnce = "upload: precondition failed at the beginning";
    TooManyUploads = "upload: too many of one caller";
    UploadIdOfAnotherKey = "upload: id of another key's upload";
    ChunkStored = "upload: chunk stored";
    ChunkStoredDirectly = "upload: chunk stored by its shard itself";
    ChunkStoredAgain = "upload: chunk stored again";
    ChunkOfWrongDigest = "upload: chunk of a wrong digest refused";
    ChunkDiffers = "upload: other chunk of the same place refused";
    ChunkTooLate = "upload: chunk too late";
    UploadTwice = "upload: chunk or commit sent twice at once";
    UploadStatus = "upload: status told";
    UploadResumed = "upload: resumed from its status after a loss";
    Published = "upload: published";
    PublishedMany = "upload: many chunks published";
    PublishedAgain = "upload: told again that it is published";
    CommitSettled = "upload: unknown commit settled";
    CommitTooEarly = "upload: commit with chunks missing";
    CommitOfWrongDigest = "upload: commit of a wrong digest refused";
    CommitAfterAbort = "upload: commit after the end refused";
    UploadRefused = "upload: precondition failed at the commit";
    UploadAborted = "upload: aborted";
    AbortTooLate = "upload: abort after it was published";
    UploadAbandoned = "upload: abandoned";
    UploadForgotten = "upload: collected, and forgotten";
    StrangerRefused = "upload: somebody else's refused";
    StrangersChunkRefused = "upload: chunk for somebody else's refused";
    LargeTold = "large: get told the length";
    NoManifest = "large: no manifest";
    ManifestRead = "large: manifest";
    ManifestQueried = "large: manifest by query";
    ManifestOfShard = "large: manifest of the shard itself";
    ChunkRead = "large: chunk";
    ChunkQueried = "large: chunk by query";
    ChunkOfShard = "large: chunk of the shard itself";
    ChunkOfManyRead = "large: one chunk of many";
    ChunkOfReplacedRead = "large: chunk of a replaced value";
    ChunkGone = "large: chunk gone";
    SlowReader = "large: read to its end by a slow reader";
    LargeKept = "large: there in the end, and whole";
    LargeGone = "large: gone in the end, as it was replaced";
    UploadIdRefused = "upload: chunk refused, as its id is another's";
    Scrubbed = "scrub: page with nothing to find";
    UploadsCollected = "upload: nothing left of it in the end";
    /// A reader found nothing where the last that was told of had reached its end.
    EndReached = "record found ended";
}

impl Happening {
    /// Finds one by its text.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|happening| happening.text() == text)
    }

    /// Says what became of a precondition.
    pub fn of_precondition(precondition: Precondition, outcome: Outcome) -> Self {
        let held = !matches!(outcome, Outcome::PreconditionFailed { .. });
        match precondition {
            Precondition::Absent if held => Happening::AbsentHeld,
            Precondition::Absent => Happening::AbsentFailed,
            Precondition::Present if held => Happening::PresentHeld,
            Precondition::Present => Happening::PresentFailed,
            Precondition::Version(_) if held => Happening::VersionHeld,
            Precondition::Version(_) => Happening::VersionFailed,
        }
    }
}

/// How often each happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<Happening, u64>);

impl Tally {
    pub fn note(&mut self, happening: Happening) {
        self.note_times(happening, 1);
    }

    /// Notes something that happened so often.
    pub fn note_times(&mut self, happening: Happening, times: u64) {
        *self.0.entry(happening).or_default() += times;
    }

    /// Notes something if it happened.
    pub fn note_if(&mut self, happened: bool, happening: Happening) {
        if happened {
            self.note(happening);
        }
    }

    pub fn times(&self, happening: Happening) -> u64 {
        self.0.get(&happening).copied().unwrap_or(0)
    }

    /// Adds another tally.
    pub fn add(&mut self, other: &Tally) {
        for (happening, times) in &other.0 {
            *self.0.entry(*happening).or_default() += times;
        }
    }

    /// Lists what should have happened and never did.
    pub fn missing(&self) -> impl Iterator<Item = Happening> + '_ {
        let required = Happening::ALL.iter().copied().filter(|happening| *happening != Happening::BusyOther);
        required.filter(|happening| self.times(*happening) == 0)
    }
}
