//! The reply of `apply`: one answer per item.

use super::{ActionRef, ItemRef, OTHER_BYTES};
use crate::codec;
use crate::routing::Version;
use crate::shard::{Answer, ShardApplyResult, ShardError};
use crate::wire::bytes::{PIECE_BYTES, Reader, write_length, write_optional_nat64};
use crate::wire::replies::RecordHead;
use crate::wire::table::{Prefix, Type, in_order};

const _: () = assert!(in_order(&["Ok", "Err"]));
const _: () = assert!(in_order(&["Get", "Put", "Delete"]));
const _: () = assert!(in_order(&["value", "version", "expires_at_nanoseconds", "value_bytes"]));
const _: () = assert!(in_order(&["PreconditionFailed", "AskAgain"]));

/// `variant { Ok : vec variant { Put : variant { Ok : record { version : nat64 } } } }`, and the number of the tag.
const PUTS_DONE: Prefix = Prefix::table()
    .variant(&[("Ok", Type::Line(1))])
    .vec(Type::Line(2))
    .variant(&[("Put", Type::Line(3))])
    .variant(&[("Ok", Type::Line(4))])
    .record(&[("version", Type::Nat64)])
    .one_value()
    .then(0);

/// Answers to gets, puts and deletes, done or refused for a reason of every day; and the number of the outer tag.
const ANSWERS: Prefix = Prefix::table()
    .variant(&[("Ok", Type::Line(1))])
    .vec(Type::Line(2))
    .variant(&[("Get", Type::Line(3)), ("Put", Type::Line(4)), ("Delete", Type::Line(5))])
    .variant(&[("Ok", Type::Line(6)), ("Err", Type::Line(10))])
    .variant(&[("Ok", Type::Line(8)), ("Err", Type::Line(10))])
    .variant(&[("Ok", Type::Line(9)), ("Err", Type::Line(10))])
    .opt(Type::Line(7))
    .record(&[
        ("value", Type::Line(11)),
        ("version", Type::Nat64),
        ("expires_at_nanoseconds", Type::Line(12)),
        ("value_bytes", Type::Line(12)),
    ])
    .record(&[("version", Type::Nat64)])
    .record(&[("deleted", Type::Line(12))])
    .variant(&[("PreconditionFailed", Type::Line(13)), ("AskAgain", Type::Line(14))])
    .vec(Type::Nat8)
    .opt(Type::Nat64)
    .record(&[("found", Type::Line(12))])
    .record(&[("bytes", Type::Nat64)])
    .one_value()
    .then(0);

const GET: u8 = 0;
const PUT: u8 = 1;
const DELETE: u8 = 2;
const OK: u8 = 0;
const ERR: u8 = 1;
const PRECONDITION_FAILED: u8 = 0;
const ASK_AGAIN: u8 = 1;

/// Most bytes of one answer beside a value, refusals included; the longest names range, epoch and owner of a key.
pub const ANSWER_BYTES_MAX: usize = 64;

/// Writes the reply of a batch, answer by answer in the order of its items.
pub struct ReplyWriter {
    reply: Vec<u8>,
    /// What was handed out before that.
    handed_out_bytes: usize,
    /// Only puts without preconditions are answered, so that a shorter table does.
    puts_only: bool,
    /// Answers that the tables above don't have, with the places that others keep for them.
    rare: Vec<(usize, Answer)>,
    answers: usize,
}

impl ReplyWriter {
    /// Begins the reply to these items.
    pub fn new(items: &[ItemRef]) -> Self {
        let unconditional = |item: &ItemRef| matches!(item.action, ActionRef::Put(put) if put.precondition.is_none());
        let puts_only = items.iter().all(unconditional);
        let mut reply = Vec::with_capacity((OTHER_BYTES + items.len() * ANSWER_BYTES_MAX).max(PIECE_BYTES));
        reply.extend_from_slice(if puts_only { PUTS_DONE.bytes() } else { ANSWERS.bytes() });
        write_length(&mut reply, items.len());
        Self { reply, handed_out_bytes: 0, puts_only, rare: Vec::new(), answers: 0 }
    }

    /// Tells the bytes written so far.
    pub fn bytes(&self) -> usize {
        self.handed_out_bytes + self.reply.len()
    }

    /// Tells whether a get refused so is answered by the tables, as what is found is. An answer that isn't needs all of the
    /// reply once more.
    pub fn is_everyday(error: &ShardError) -> bool {
        matches!(error, ShardError::AskAgain { .. })
    }

    /// Hands out what is written, if so many bytes more would make it longer than a piece.
    ///
    /// # Panics
    ///
    /// When there was an answer that is none of every day. None may follow either.
    pub fn make_room(&mut self, bytes: usize, send: impl FnOnce(&[u8])) {
        if self.reply.is_empty() || self.reply.len() + bytes <= PIECE_BYTES {
            return;
        }
        assert!(self.rare.is_empty(), "INVARIANT: a reply with rare answers is kept whole");
        send(&self.reply);
        self.handed_out_bytes += self.reply.len();
        self.reply.clear();
    }

    /// Answers a put.
    pub fn put(&mut self, result: Result<Version, ShardError>) {
        match result {
            Ok(version) => {
                self.begin(PUT, OK);
                self.reply.extend_from_slice(&version.0.to_le_bytes());
            }
            Err(error) => self.refuse(PUT, error),
        }
        self.answers += 1;
    }

    /// Answers a delete.
    pub fn delete(&mut self, result: Result<Option<Version>, ShardError>) {
        match result {
            Ok(deleted) => {
                self.begin(DELETE, OK);
                write_optional_nat64(&mut self.reply, deleted.map(|version| version.0));
            }
            Err(error) => self.refuse(DELETE, error),
        }
        self.answers += 1;
    }

    /// Answers a get that found nothing, or was refused.
    pub fn no_record(&mut self, result: Result<(), ShardError>) {
        match result {
            Ok(()) => {
                self.begin(GET, OK);
                self.reply.push(0);
            }
            Err(error) => self.refuse(GET, error),
        }
        self.answers += 1;
    }

    /// Answers a get that found a record: `append_value` appends the value, unless only its length is told.
    pub fn record(&mut self, head: &RecordHead, append_value: impl FnOnce(&mut Vec<u8>)) {
        self.begin(GET, OK);
        self.reply.push(1);
        write_length(&mut self.reply, if head.include_value { head.value_bytes } else { 0 });
        if head.include_value {
            append_value(&mut self.reply);
        }
        self.reply.extend_from_slice(&head.version.0.to_le_bytes());
        write_optional_nat64(&mut self.reply, head.expires_at_nanoseconds);
        write_optional_nat64(&mut self.reply, (!head.include_value).then_some(head.value_bytes as u64));
        self.answers += 1;
    }

    fn begin(&mut self, kind: u8, tag: u8) {
        let tags = if self.puts_only { [0, 0] } else { [kind, tag] };
        self.reply.extend(tags);
    }

    fn refuse(&mut self, kind: u8, error: ShardError) {
        match error {
            ShardError::PreconditionFailed { found } if !self.puts_only => {
                self.begin(kind, ERR);
                self.reply.push(PRECONDITION_FAILED);
                write_optional_nat64(&mut self.reply, found.map(|version| version.0));
            }
            ShardError::AskAgain { bytes } if !self.puts_only => {
                self.begin(kind, ERR);
                self.reply.push(ASK_AGAIN);
                self.reply.extend_from_slice(&bytes.to_le_bytes());
            }
            error => {
                let (answer, place): (_, &[u8]) = match kind {
                    GET => (Answer::Get(Err(error)), &[0]),
                    PUT => (Answer::Put(Err(error)), &[0; 8]),
                    _ => (Answer::Delete(Err(error)), &[0]),
                };
                self.rare.push((self.answers, answer));
                self.begin(kind, OK);
                self.reply.extend_from_slice(place);
            }
        }
    }

    /// Ends the reply: gives what wasn't handed out.
    pub fn finish(self) -> Vec<u8> {
        if self.rare.is_empty() {
            return self.reply;
        }
        assert_eq!(self.handed_out_bytes, 0, "INVARIANT: a reply with rare answers is kept whole");
        let answers: ShardApplyResult =
            codec::decode(&self.reply).expect("INVARIANT: what this writes is the Candid of as many answers");
        let mut answers = answers.expect("INVARIANT: what this writes are answers");
        for (place, answer) in self.rare {
            answers[place] = answer;
        }
        codec::encode(&ShardApplyResult::Ok(answers))
    }
}

/// What became of one item, in the reply that tells it: done, or refused for a reason of every day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerRef<'a> {
    /// A get that found nothing.
    Nothing,
    /// A get that found a record; the value is empty when it isn't included.
    Record(RecordHead, &'a [u8]),
    /// A put that was done.
    Put(Version),
    /// A delete that was done.
    Deleted(Option<Version>),
    /// A put whose precondition does not hold; the version that was found.
    PutRefused(Option<Version>),
    /// A delete whose precondition does not hold; the version that was found.
    DeleteRefused(Option<Version>),
    /// A get whose value of so many bytes doesn't fit.
    AskAgain(u64),
}

/// Tells whether a reply begins as one that [`read_answers`] reads, so that none of its answers names another shard.
pub fn is_everyday(reply: &[u8]) -> bool {
    PUTS_DONE.strip(reply).is_some() || ANSWERS.strip(reply).is_some()
}

/// Reads the reply to a batch of at most `items_max` items; `None` if that takes the general decoder.
pub fn read_answers(reply: &[u8], items_max: usize) -> Option<Vec<AnswerRef<'_>>> {
    let puts = PUTS_DONE.strip(reply);
    let mut reader = Reader::new(match puts {
        Some(values) => values,
        None => ANSWERS.strip(reply)?,
    });
    let count = reader.length().filter(|count| *count <= items_max)?;
    let mut answers = Vec::with_capacity(count);
    for _ in 0..count {
        answers.push(if puts.is_some() { read_put_done(&mut reader)? } else { read_answer(&mut reader)? });
    }
    reader.end()?;
    Some(answers)
}

fn read_put_done<'a>(reader: &mut Reader<'a>) -> Option<AnswerRef<'a>> {
    if reader.take(2)? != [0, OK] {
        return None;
    }
    Some(AnswerRef::Put(Version(reader.nat64()?)))
}

fn read_answer<'a>(reader: &mut Reader<'a>) -> Option<AnswerRef<'a>> {
    let (kind, tag) = (reader.byte()?, reader.byte()?);
    match (kind, tag) {
        (GET, OK) => match reader.boolean()? {
            false => Some(AnswerRef::Nothing),
            true => {
                let value = reader.blob()?;
                let version = Version(reader.nat64()?);
                let expires_at_nanoseconds = reader.option(Reader::nat64)?;
                let length_told = reader.option(Reader::nat64)?;
                let include_value = length_told.is_none();
                let value_bytes = length_told.map_or(Some(value.len()), |bytes| usize::try_from(bytes).ok())?;
                Some(AnswerRef::Record(
                    RecordHead { version, expires_at_nanoseconds, value_bytes, include_value },
                    value,
                ))
            }
        },
        (PUT, OK) => Some(AnswerRef::Put(Version(reader.nat64()?))),
        (DELETE, OK) => Some(AnswerRef::Deleted(reader.option(Reader::nat64)?.map(Version))),
        (GET | PUT | DELETE, ERR) => match reader.byte()? {
            PRECONDITION_FAILED if kind != GET => {
                let found = reader.option(Reader::nat64)?.map(Version);
                Some(if kind == PUT { AnswerRef::PutRefused(found) } else { AnswerRef::DeleteRefused(found) })
            }
            ASK_AGAIN if kind == GET => Some(AnswerRef::AskAgain(reader.nat64()?)),
            _ => None,
        },
        _ => None,
    }
}
