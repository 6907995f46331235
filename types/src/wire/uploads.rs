//! Replies of `get_chunk`: router and shards answer a chunk alike, so the router hands it on as it came.

use super::bytes::{Reader, write_blob, write_length};
use super::table::{Prefix, Type, in_order};
use crate::limits::DIGEST_BYTES;

const _: () = assert!(in_order(&["digest", "bytes"]));

/// `variant { Ok : record { digest : blob; bytes : blob } }`, and the number of the tag.
const CHUNK: Prefix = Prefix::table()
    .variant(&[("Ok", Type::Line(1))])
    .record(&[("digest", Type::Line(2)), ("bytes", Type::Line(2))])
    .vec(Type::Nat8)
    .one_value()
    .then(0);

/// Room for everything but the bytes.
const OTHER_BYTES: usize = 64 + DIGEST_BYTES;

/// Begins a reply, to which the chunk's bytes are appended next and last.
pub fn begin_chunk(digest: &[u8; DIGEST_BYTES], bytes: usize) -> Vec<u8> {
    let mut reply = Vec::with_capacity(OTHER_BYTES + bytes);
    reply.extend_from_slice(CHUNK.bytes());
    write_blob(&mut reply, digest);
    write_length(&mut reply, bytes);
    reply
}

/// Tells whether a reply is one that the function above begins.
pub fn is_chunk(reply: &[u8]) -> bool {
    let Some(rest) = CHUNK.strip(reply) else { return false };
    let mut reader = Reader::new(rest);
    let digest = reader.blob();
    digest.is_some_and(|digest| digest.len() == DIGEST_BYTES) && reader.blob().is_some() && reader.end().is_some()
}
