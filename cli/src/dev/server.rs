//! The PocketIC server that `dev` is told to use. It is looked at first, because the client of PocketIC panics where there is
//! none.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{self, Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ic_agent::export::reqwest::{Client, Url};
use pocket_ic::LATEST_SERVER_VERSION;

use crate::failure::Failure;

/// How long a server may take to say that it is one.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Bytes of an answer that are looked at.
const VERSION_BYTES_MAX: u64 = 4_096;

/// What a server's `--version` prints before its version.
const NAME: &str = "pocket-ic-server ";

/// Makes sure that a PocketIC server answers at a URL, and gives the URL.
///
/// # Errors
/// When the text is no URL, nothing answers there in time, or something else does.
pub fn at_url(text: &str) -> Result<Url, Failure> {
    let url = text.parse::<Url>().map_err(|error| Failure::local(format!("`{text}` is no URL: {error}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::local(format!("can't start: {error}")))?;
    match runtime.block_on(instances(&url)) {
        Ok(_) => Ok(url),
        Err(error) => Err(Failure::network(format!("no PocketIC server answers at {url}: {error:#}"))),
    }
}

/// Asks for the list of instances, which PocketIC servers alone have.
async fn instances(url: &Url) -> anyhow::Result<Vec<String>> {
    let client = Client::builder().timeout(ANSWER_MAX).build()?;
    let reply = client.get(url.join("instances")?).send().await?.error_for_status()?.bytes().await?;
    Ok(serde_json::from_slice(&reply)?)
}

/// Makes sure that a file is a PocketIC server which the client understands, and gives its whole path.
///
/// # Errors
/// When it isn't there, can't be run, is another program, or one of another major version.
fn binary(file: &Path) -> Result<PathBuf, Failure> {
    let none = |why: String| Failure::local(format!("there is no PocketIC server at {}: {why}", file.display()));
    // A name alone would be looked for on the path.
    let whole = path::absolute(file).map_err(|error| none(error.to_string()))?;
    let asked =
        Command::new(&whole).arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let told = asked.and_then(answer).map_err(|error| none(error.to_string()))?;
    let ours = major(LATEST_SERVER_VERSION);
    match told.lines().next().and_then(|line| line.strip_prefix(NAME)) {
        None => Err(none("asked for its --version, it doesn't say that it is one".to_string())),
        Some(version) if major(version) != ours => {
            Err(none(format!("that one has version {version}, and this command speaks to versions {ours}")))
        }
        Some(_) => Ok(whole),
    }
}

/// How long a server may take to tell its port, and how often that is looked for.
const START_MAX: Duration = Duration::from_secs(60);
const START_STEP: Duration = Duration::from_millis(20);

/// Seconds without a request after which a server ends by itself, if this command couldn't end it.
const IDLE_SECONDS_MAX: &str = "600";

/// How often this command asks for something, so that the server goes on, and it is noticed when it doesn't.
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Questions without an answer, one after the other, after which a server counts as gone.
pub const SILENCES_MAX: u32 = 3;

/// A server that runs until it is dropped.
pub struct Process {
    child: Child,
    port_file: PathBuf,
}

impl Process {
    /// Starts a server, and gives its URL. What it writes is not for the readers of this command.
    ///
    /// # Errors
    /// When it can't be started, ends at once, or tells no port in time.
    pub fn start(file: &Path) -> Result<(Self, Url), Failure> {
        let whole = binary(file)?;
        let failed = |why: String| Failure::local(format!("{} doesn't start: {why}", whole.display()));
        let port_file = std::env::temp_dir().join(format!("canopy-server-{}.port", std::process::id()));
        // A process of the same number may have left one.
        let _ = std::fs::remove_file(&port_file);
        let child = Command::new(&whole)
            .args(["--ttl", IDLE_SECONDS_MAX, "--port-file"])
            .arg(&port_file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // Ctrl-C is for this command, which ends the network first.
            .process_group(0)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let mut process = Self { child, port_file };
        let begun = Instant::now();
        while begun.elapsed() < START_MAX {
            if let Ok(text) = std::fs::read_to_string(&process.port_file)
                && let Some(port) = text.strip_suffix('\n')
            {
                let url = format!("http://127.0.0.1:{port}/").parse();
                return url.map(|url| (process, url)).map_err(|_| failed(format!("`{port}` is no port")));
            }
            if let Ok(Some(status)) = process.child.try_wait() {
                return Err(failed(format!("it ended with {status}")));
            }
            std::thread::sleep(START_STEP);
        }
        Err(failed(format!("it told no port within {} s", START_MAX.as_secs())))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, and the file may never have been there.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.port_file);
    }
}

/// Reads what a program prints before it ends, which it must do in time.
fn answer(mut child: Child) -> io::Result<String> {
    let begun = Instant::now();
    while child.try_wait()?.is_none() {
        if begun.elapsed() > ANSWER_MAX {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other(format!(
                "asked for its --version, it says nothing for {} s",
                ANSWER_MAX.as_secs()
            )));
        }
        std::thread::sleep(START_STEP);
    }
    let mut told = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(VERSION_BYTES_MAX).read_to_end(&mut told)?;
    }
    Ok(String::from_utf8_lossy(&told).into_owned())
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}
