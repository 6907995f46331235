//! The PocketIC server that `dev` is told to use. It is looked at first, because the client of PocketIC panics where there is
//! none.

use std::path::{self, Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use ic_agent::export::reqwest::{Client, Url};
use pocket_ic::LATEST_SERVER_VERSION;

use crate::failure::Failure;

/// How long a server may take to say that it is one.
const ANSWER_MAX: Duration = Duration::from_secs(10);

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
pub fn binary(file: &Path) -> Result<PathBuf, Failure> {
    let none = |why: String| Failure::local(format!("there is no PocketIC server at {}: {why}", file.display()));
    // A name alone would be looked for on the path.
    let whole = path::absolute(file).map_err(|error| none(error.to_string()))?;
    let told = Command::new(&whole).arg("--version").stdin(Stdio::null()).output();
    let told = told.map_err(|error| none(error.to_string()))?;
    let told = String::from_utf8_lossy(&told.stdout);
    let ours = major(LATEST_SERVER_VERSION);
    match told.lines().next().and_then(|line| line.strip_prefix(NAME)) {
        None => Err(none("asked for its --version, it doesn't say that it is one".to_string())),
        Some(version) if major(version) != ours => {
            Err(none(format!("that one has version {version}, and this command speaks to versions {ours}")))
        }
        Some(_) => Ok(whole),
    }
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}
