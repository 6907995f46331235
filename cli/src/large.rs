//! Values longer than a record, as files: uploaded and downloaded chunk by chunk.
//!
//! The name of an upload that has begun is kept in the user's folder for state until it is done, so the same command
//! goes on where an earlier one ended.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use canopy_client::transport::Transport;
use canopy_client::{
    Client, LargeError, LargePut, LargeRecord, NotDone, Precondition, PutReply, Reason, Sink, Source, UploadFault,
    UploadId, WINDOW,
};
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};

use crate::connection::Session;
use crate::failure::{Failure, Kind};
use crate::places::{self, Part};

/// A file to store, and how.
pub struct Upload<'u> {
    pub key: &'u [u8],
    pub file: &'u Path,
    pub precondition: Option<Precondition>,
    pub time_to_live_milliseconds: Option<u64>,
    /// Whether the file stays, so that a later command can go on with it.
    pub goes_on: bool,
}

/// A file that is read from its beginning.
pub struct FileSource<'b> {
    file: File,
    bar: &'b ProgressBar,
}

impl<'b> FileSource<'b> {
    /// Opens a file; `bar` shows how much of it was read.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn open(path: &Path, bar: &'b ProgressBar) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, bar })
    }
}

impl Source for FileSource<'_> {
    fn read(&mut self, bytes: usize) -> Result<Vec<u8>, String> {
        let mut buffer = vec![0; bytes];
        self.file.read_exact(&mut buffer).map_err(|error| format!("the file can't be read on: {error}"))?;
        self.bar.inc(bytes as u64);
        Ok(buffer)
    }
}

/// Where a value that is read goes.
pub struct WriteSink<'b, W> {
    target: W,
    written: u64,
    begin_again: fn(&mut W) -> io::Result<()>,
    bar: &'b ProgressBar,
}

impl<W: Write> Sink for WriteSink<'_, W> {
    fn write(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        self.target.write_all(&bytes).map_err(|error| format!("can't write: {error}"))?;
        self.written += bytes.len() as u64;
        self.bar.inc(bytes.len() as u64);
        Ok(())
    }

    fn restart(&mut self) -> Result<(), String> {
        if self.written > 0 {
            (self.begin_again)(&mut self.target).map_err(|error| error.to_string())?;
        }
        self.written = 0;
        self.bar.set_position(0);
        Ok(())
    }
}

/// Stores a file, and goes on with an earlier attempt.
///
/// # Errors
/// Why not, or that nobody knows.
pub async fn put_file(session: &Session, upload: &Upload<'_>, bar: &ProgressBar) -> Result<PutReply, Failure> {
    let unreadable = |error: io::Error| Failure::local(format!("can't read {}: {error}", upload.file.display()));
    let value_bytes = fs::metadata(upload.file).map_err(unreadable)?.len();
    let note = upload.goes_on.then(|| Note::of(session, upload)).transpose()?;
    let earlier = note.as_ref().map(Note::read).transpose()?.flatten();
    let forget = || note.iter().for_each(Note::remove);
    let names = earlier.into_iter().map(|id| (id, true)).chain([(session.client.new_upload(), false)]);
    let mut last = None;
    for (name, is_earlier) in names {
        if let Some(note) = note.as_ref().filter(|_| !is_earlier) {
            note.write(name)?;
        }
        bar.set_position(0);
        let put = LargePut {
            precondition: upload.precondition,
            time_to_live_milliseconds: upload.time_to_live_milliseconds,
            ..LargePut::new(upload.key, name, value_bytes)
        };
        let mut source = FileSource::open(upload.file, bar).map_err(unreadable)?;
        let mut result = session.client.put_large(&put, &mut source).await;
        if matches!(result, Err(LargeError::Unknown { .. })) {
            let mut source = FileSource::open(upload.file, bar).map_err(unreadable)?;
            result = session.client.put_large(&put, &mut source).await;
        }
        match result {
            Ok(reply) => {
                forget();
                return Ok(reply);
            }
            Err(LargeError::NotDone(NotDone { reason: Reason::Upload(fault) })) if is_earlier && is_over(&fault) => {
                // The file was changed since, or the time was over: what is there of it is in nobody's way.
                let _ = session.client.abort_upload(upload.key, name).await;
                last = Some(LargeError::from(fault));
            }
            Err(error) => {
                if matches!(&error, LargeError::NotDone(NotDone { reason: Reason::PreconditionFailed { .. } })) {
                    forget();
                }
                return Err(error.into());
            }
        }
    }
    Err(last.map_or_else(|| Failure::local("there is no upload"), Failure::from))
}

/// Tells whether an upload can't be gone on with.
fn is_over(fault: &UploadFault) -> bool {
    matches!(
        fault,
        UploadFault::Aborted
            | UploadFault::NoSuchUpload
            | UploadFault::UploadReused
            | UploadFault::ChunkDiffers { .. }
            | UploadFault::WrongDigest { .. }
            | UploadFault::TooLate { .. }
            | UploadFault::OtherCaller { .. }
    )
}

/// Writes a large value into a file, under another name first; `None` when no large value is there.
///
/// # Errors
/// Why not; then nothing is left behind, nor when the future is dropped.
pub async fn get_file<T: Transport>(
    client: &Client<T>,
    key: &[u8],
    path: &Path,
    bar: &ProgressBar,
) -> Result<Option<LargeRecord>, Failure> {
    let failed = |error: io::Error| Failure::local(format!("can't write {}: {error}", path.display()));
    let (part, file) = Part::beside(path).map_err(failed)?;
    let begin_again = |file: &mut File| {
        io::Seek::rewind(file)?;
        file.set_len(0)
    };
    let mut sink = WriteSink { target: file, written: 0, begin_again, bar };
    let Some(record) = client.get_large(key, WINDOW, &mut sink).await? else { return Ok(None) };
    part.move_to(path).map_err(failed)?;
    Ok(Some(record))
}

/// Writes a large value to stdout; `None` when no large value is there.
///
/// # Errors
/// Why not; a part of it may be written.
pub async fn get_to_stdout<T: Transport>(
    client: &Client<T>,
    key: &[u8],
    bar: &ProgressBar,
) -> Result<Option<LargeRecord>, Failure> {
    let begin_again = |_: &mut io::StdoutLock| {
        Err(io::Error::other("the value was replaced while it was read, and a part of it is written; try again"))
    };
    let mut sink = WriteSink { target: io::stdout().lock(), written: 0, begin_again, bar };
    let record = client.get_large(key, WINDOW, &mut sink).await?;
    sink.target.flush().map_err(|error| Failure::local(format!("can't write: {error}")))?;
    Ok(record)
}

/// Digests a file without having it in memory.
///
/// # Errors
/// When it can't be read.
pub fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().into())
}

impl From<LargeError> for Failure {
    fn from(error: LargeError) -> Self {
        match error {
            LargeError::NotDone(not_done) => not_done.into(),
            LargeError::Unknown { reason } => Failure::new(Kind::Unknown, format!("no answer came: {reason}"))
                .with_advice("the same command again finds out, and sends nothing twice"),
            LargeError::Local { reason } => Failure::local(reason),
        }
    }
}

/// The file that keeps the name of an upload.
struct Note(PathBuf);

impl Note {
    /// Names the note after all that makes the upload what it is: network, router, caller, key, the file as it stands,
    /// and conditions.
    fn of(session: &Session, upload: &Upload) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::local(format!("can't read {}: {error}", upload.file.display()));
        let path = fs::canonicalize(upload.file).map_err(failed)?;
        let metadata = fs::metadata(&path).map_err(failed)?;
        let changed = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let conditions =
            format!("{changed:?} {:?} {:?}", upload.precondition, upload.time_to_live_milliseconds).into_bytes();
        let (router, caller) = (session.router(), session.client.transport().caller());
        let parts: [&[u8]; 7] = [
            &session.root_key,
            router.as_slice(),
            caller.as_slice(),
            upload.key,
            path.as_os_str().as_bytes(),
            &metadata.len().to_le_bytes(),
            &conditions,
        ];
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let name = format!("{}.upload", hex::encode(&hasher.finalize()[..16]));
        Ok(Self(places::folder()?.join("uploads").join(name)))
    }

    /// Reads the name, if one is kept; one that isn't whole is none.
    fn read(&self) -> Result<Option<UploadId>, Failure> {
        match fs::read(&self.0) {
            Ok(bytes) => Ok(hex::decode(&bytes).ok().and_then(|id| id.try_into().ok()).map(UploadId)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::local(format!("can't read {}: {error}", self.0.display()))),
        }
    }

    fn write(&self, name: UploadId) -> Result<(), Failure> {
        let folder = self.0.parent().expect("the note lies in a folder");
        let written =
            fs::create_dir_all(folder).and_then(|()| places::write_whole(&self.0, name.to_string().as_bytes()));
        written.map_err(|error| Failure::local(format!("can't write {}: {error}", self.0.display())))
    }

    fn remove(&self) {
        // One that stays names an upload that is done, which the same command finds out.
        let _ = fs::remove_file(&self.0);
    }
}
