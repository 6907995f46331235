//! Files longer than a record: uploaded and read back by the client library, chunk by chunk.

use anyhow::Result;
use canopy_client::transport::{PocketTransport, block_on};
use canopy_client::{Client, LargePut, Sink, WINDOW};
use sha2::{Digest, Sha256};

use super::deployment::Deployment;
use super::{Stored, bar};
use crate::files::File;
use crate::large::{FileSource, digest};

/// Digests what comes.
#[derive(Default)]
struct Digesting(Sha256);

impl Sink for Digesting {
    fn write(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        self.0.update(&bytes);
        Ok(())
    }

    fn restart(&mut self) -> Result<(), String> {
        *self = Self::default();
        Ok(())
    }
}

/// Uploads every file; gives what was stored, and in words what could not be.
pub fn import<'a>(deployment: &Deployment, files: &'a [File], json: bool) -> (Vec<Stored<'a>>, Vec<String>) {
    let client = client(deployment);
    let bar = bar("put in chunks", files.iter().map(|file| file.bytes).sum(), json);
    let (mut stored, mut failed) = (vec![], vec![]);
    for file in files {
        let put = LargePut::new(file.key.clone(), client.new_upload(), file.bytes);
        let uploaded = FileSource::open(&file.path, &bar).map_err(|error| error.to_string()).and_then(|mut source| {
            let digest = digest(&file.path).map_err(|error| error.to_string())?;
            block_on(client.put_large(&put, &mut source)).map_err(|error| error.to_string())?;
            Ok(digest)
        });
        match uploaded {
            Ok(digest) => stored.push(Stored { file, digest }),
            Err(why) => failed.push(format!("{}: {why}", file.path.display())),
        }
    }
    bar.finish();
    (stored, failed)
}

/// Reads every file and tells in words what differs from what was uploaded.
pub fn compare(deployment: &Deployment, stored: &[Stored], json: bool) -> Vec<String> {
    let client = client(deployment);
    let bar = bar("get in chunks", stored.iter().map(|stored| stored.file.bytes).sum(), json);
    let mut differences = vec![];
    for stored in stored {
        let mut sink = Digesting::default();
        let read = block_on(client.get_large(&stored.file.key, WINDOW, &mut sink));
        bar.inc(stored.file.bytes);
        let what = match read {
            Err(error) => error.to_string(),
            Ok(None) => "nothing is stored".to_string(),
            Ok(Some(_)) if sink.0.finalize().as_slice() != stored.digest => "bytes that differ".to_string(),
            Ok(Some(_)) => continue,
        };
        differences.push(format!("{}: {what}", stored.file.path.display()));
    }
    bar.finish();
    differences
}

fn client(deployment: &Deployment) -> Client<PocketTransport> {
    Client::new(deployment.transport(), deployment.router())
}
