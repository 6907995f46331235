use super::*;
use crate::scripted::{Scripted, client, run};
use canopy_types::api::uploads::{Chunk, GetChunkArguments, GetChunkResult, GetManifestResult, UploadError};
use canopy_types::limits::CHUNK_BYTES;
use canopy_types::{UploadId, Version};
use serde_bytes::ByteBuf;

const UPLOAD: UploadId = UploadId([7; 16]);

/// Cuts a value whose chunks differ.
fn chunks_of(value_bytes: usize) -> Vec<Chunk> {
    let value: Vec<u8> = (0..value_bytes).map(|at| (at / 7) as u8 ^ (at / CHUNK_BYTES) as u8).collect();
    value.chunks(CHUNK_BYTES).map(|bytes| Chunk { bytes: ByteBuf::from(bytes), digest: Digest::of(bytes) }).collect()
}

fn manifest_of(chunks: &[Chunk]) -> Manifest {
    Manifest {
        upload: UPLOAD,
        version: Version(5),
        expires_at_nanoseconds: Some(9),
        value_bytes: chunks.iter().map(|chunk| chunk.bytes.len() as u64).sum(),
        chunk_bytes: CHUNK_BYTES as u64,
        chunks: chunks.len() as u32,
        digest: Digest::of_chunks(chunks.iter().map(|chunk| &chunk.digest)),
        pass: ByteBuf::from("pass"),
    }
}

/// Reads all that a stream gives, one chunk at a time.
fn heard(manifest: Manifest, replies: Vec<GetChunkResult>) -> Vec<Result<Vec<u8>, NotDone>> {
    let client = client(Scripted::default());
    client.transport.reply(&GetManifestResult::Ok(Some(manifest)));
    for reply in &replies {
        client.transport.reply(reply);
    }
    let value = run(client.large_stream("film")).expect("answered").expect("it is there");
    run(value.chunks(1).collect())
}

#[test]
fn chunks_come_in_order_and_all_of_one_version() {
    let client = client(Scripted::default());
    let chunks = chunks_of(2 * CHUNK_BYTES + 3);
    client.transport.reply(&GetManifestResult::Ok(Some(manifest_of(&chunks))));
    for chunk in &chunks {
        client.transport.reply(&GetChunkResult::Ok(chunk.clone()));
    }
    let value = run(client.large_stream("film")).expect("answered").expect("it is there");
    let record =
        LargeRecord { version: Version(5), value_bytes: 2 * CHUNK_BYTES as u64 + 3, expires_at_nanoseconds: Some(9) };
    assert_eq!(value.record, record);
    let read: Vec<Result<Vec<u8>, NotDone>> = run(value.chunks(2).collect());
    assert_eq!(read.len(), 3);
    assert!(read.iter().zip(&chunks).all(|(read, chunk)| read.as_ref() == Ok(&*chunk.bytes)));
    let asked: Vec<GetChunkArguments> = client.transport.asked()[1..].iter().map(|asked| asked.read()).collect();
    assert!(asked.iter().all(|asked| asked.pass == manifest_of(&chunks).pass));
    let asked: Vec<(UploadId, u32)> = asked.iter().map(|asked| (asked.upload, asked.index)).collect();
    assert_eq!(asked, [(UPLOAD, 0), (UPLOAD, 1), (UPLOAD, 2)]);
}

#[test]
fn where_there_is_no_large_value_there_is_no_stream() {
    let client = client(Scripted::default());
    client.transport.reply(&GetManifestResult::Ok(None));
    assert!(run(client.large_stream("film")).expect("answered").is_none());
    let without_key = run(client.large_stream("")).map(|found| found.is_some());
    assert_eq!(without_key, Err(Reason::KeyEmpty.into()));
}

#[test]
fn a_chunk_that_was_altered_ends_the_stream() {
    let chunks = chunks_of(CHUNK_BYTES + 3);
    let altered = Chunk { bytes: ByteBuf::from(vec![0_u8; CHUNK_BYTES]), ..chunks[0].clone() };
    let heard = heard(manifest_of(&chunks), vec![Ok(altered), Ok(chunks[1].clone())]);
    let [Err(NotDone { reason })] = &heard[..] else { panic!("{} were given", heard.len()) };
    assert!(matches!(reason, Reason::Upload(UploadFault::WrongDigest { .. })));
}

#[test]
fn a_chunk_that_is_gone_ends_the_stream_behind_those_before_it() {
    let chunks = chunks_of(CHUNK_BYTES + 3);
    let gone = GetChunkResult::Err(UploadError::Upload(UploadFault::Gone));
    let heard = heard(manifest_of(&chunks), vec![Ok(chunks[0].clone()), gone]);
    assert_eq!((heard.len(), heard[0].is_ok()), (2, true));
    assert_eq!(heard[1], Err(Reason::Upload(UploadFault::Gone).into()));
}

#[test]
fn chunks_that_make_another_whole_end_with_that() {
    let chunks = chunks_of(CHUNK_BYTES + 3);
    let manifest = Manifest { digest: Digest([1; 32]), ..manifest_of(&chunks) };
    let heard = heard(manifest, chunks.iter().cloned().map(Ok).collect());
    let computed = manifest_of(&chunks).digest;
    assert_eq!((heard.len(), heard[0].is_ok(), heard[1].is_ok()), (3, true, true));
    assert_eq!(heard[2], Err(Reason::Upload(UploadFault::WrongDigest { computed }).into()));
}
