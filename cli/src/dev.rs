//! `dev`: a network on this machine with a router that is ready, for as long as the command runs.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use candid::Principal;
use canopy_simulator::server::{Server, ServerOptions};
use canopy_types::InitArguments;
use canopy_types::codec::{decode, encode};
use canopy_types::status::{Status, StatusResult};
use clap::Args;
use pocket_ic::{PocketIc, PocketIcBuilder};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::administration::not_allowed;
use crate::failure::{Failure, Kind};
use crate::fleet::alarm_text;
use crate::places::{self, LocalNetwork, write_whole};
use crate::{identity, shown};

mod server;

/// What the router and an application start with.
const ROUTER_CYCLES: u128 = 1_000_000_000_000_000;
const APPLICATION_CYCLES: u128 = 100_000_000_000_000;

/// How long the router may take to be ready, and how often it is asked.
const READY_MAX: Duration = Duration::from_secs(120);
const READY_ASK: Duration = Duration::from_millis(100);

/// How often the sign of life is drawn while the network starts.
const SPINNER_TURNS: Duration = Duration::from_millis(100);

/// The port of the network, unless another one is named.
const PORT: u16 = 8017;

/// The package of the example.
const EXAMPLE: &str = "canopy-example-visits";

/// What cargo tells the programs that it runs.
const SET_BY_CARGO_RUN: &str = "CARGO_MANIFEST_DIR";

/// Candid of no arguments.
const NO_ARGUMENTS: &[u8] = b"DIDL\0\0";

/// What `dev` is given.
#[derive(Args)]
#[group(skip)]
pub struct DevOptions {
    /// The port of the network; 0 takes a free one.
    #[arg(long, default_value_t = PORT)]
    port: u16,
    /// Shards that the router creates, 1 to 64.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    shards: u32,
    /// Who else may administer.
    #[arg(long, value_name = "PRINCIPAL")]
    administrator: Vec<Principal>,
    /// The Wasm of a canister of yours to install, too, with the router's id as its argument and the role of a writer.
    #[arg(long, value_name = "WASM")]
    application: Option<PathBuf>,
    /// Build the example of this repository (examples/visits) and install it as the application.
    #[arg(long, conflicts_with = "application")]
    example: bool,
    /// Seed of the simulated network.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The PocketIC server to run the network on, instead of the embedded simulator: the URL of a running one, or its
    /// binary.
    #[arg(long, value_name = "URL|FILE")]
    server: Option<String>,
    /// A router's Wasm to install, instead of the one that the command carries.
    #[arg(long, value_name = "WASM")]
    router_wasm: Option<PathBuf>,
}

/// A network that runs.
struct Local {
    // Declared before the server, so that its instance is deleted while the server still listens.
    network: PocketIc,
    _simulator: Option<Server>,
    _process: Option<server::Process>,
    url: String,
    root_key: Vec<u8>,
    owner: Principal,
}

/// Starts the network, tells about it, and keeps it until Ctrl-C.
///
/// # Errors
/// When the port is taken, files can't be read or written, the server isn't there, or the router doesn't get ready.
pub fn run(options: &DevOptions, json: bool) -> Result<()> {
    let folder = places::folder()?;
    fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
    let key = folder.join("dev.pem");
    let owner = owner(&key)?;
    let read = |path: &PathBuf| fs::read(path).with_context(|| format!("can't read {}", path.display()));
    let router_wasm = options.router_wasm.as_ref().map(read).transpose()?;
    let example = options.example.then(|| canopy_artifacts::build(EXAMPLE));
    let application_wasm = options.application.as_ref().map(read).transpose()?.or(example);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    // From here on, whoever ends the command ends the network with it.
    let mut ending = runtime.block_on(async { Ending::new() }).context("can't wait for the end")?;
    let starting = shown::spinner("starting a network and its router", json);
    starting.enable_steady_tick(SPINNER_TURNS);
    let local = Local::start(options, owner)?;
    let (router, application) = local.deploy(options, router_wasm, application_wasm)?;
    starting.finish_and_clear();

    let told = LocalNetwork {
        url: local.url.clone(),
        root_key: hex::encode(&local.root_key),
        router,
        identity: key.clone(),
        application,
    };
    let description = places::local_network()?;
    let bytes = serde_json::to_vec(&told).context("a description is always JSON")?;
    write_whole(&description, &bytes).with_context(|| format!("can't write {}", description.display()))?;
    tell(&told, json)?;
    let mut silences = 0;
    let lost = loop {
        if runtime.block_on(ending.is_asked_within(server::KEEP_ALIVE)) {
            break None;
        }
        match server::at_url(local.network.get_server_url().as_str()) {
            Ok(_) => silences = 0,
            Err(failure) if silences + 1 == server::SILENCES_MAX => break Some(failure),
            Err(_) => silences += 1,
        }
    };
    // Another `dev` may have taken the place meanwhile.
    if fs::read(&description).is_ok_and(|current| current == bytes) {
        fs::remove_file(&description).with_context(|| format!("can't remove {}", description.display()))?;
    }
    let Some(failure) = lost else { return Ok(()) };
    // The client panics when it can't delete the network. A server of this command's own is still to be ended.
    let Local { network, _simulator, _process, .. } = local;
    std::mem::forget(network);
    Err(failure.into())
}

fn tell(told: &LocalNetwork, json: bool) -> Result<()> {
    if json {
        let line = json!({
            "url": told.url,
            "root_key": told.root_key,
            "router": told.router.to_text(),
            "identity": told.identity,
            "application": told.application.map(|canister| canister.to_text()),
        });
        return Ok(shown::print_line(line)?);
    }
    let mut lines = shown::table(&["network", &told.url], 2);
    lines.add_row(["root key", &told.root_key]);
    lines.add_row(["router", &told.router.to_text()]);
    lines.add_row(["identity", &told.identity.display().to_string()]);
    if let Some(canister) = told.application {
        lines.add_row(["application", &canister.to_text()]);
    }
    shown::print_table(&lines)?;
    // Who runs it from a clone has installed nothing.
    let canopy = if std::env::var_os(SET_BY_CARGO_RUN).is_some() { "cargo run --release --" } else { "canopy" };
    let mut hint =
        format!("It runs until Ctrl-C. In another terminal:\n  {canopy} put greeting hello\n  {canopy} get greeting");
    if told.application.is_some() {
        hint.push_str(&format!("\n  {canopy} call application METHOD '(ARGUMENTS)'"));
    }
    Ok(shown::print_line(hint)?)
}

/// Ctrl-C, a terminal that is closed, or whoever ends programs.
struct Ending([Signal; 3]);

impl Ending {
    /// Begins to listen; needs a runtime.
    fn new() -> std::io::Result<Self> {
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    /// Waits so long, or until the end is asked for.
    async fn is_asked_within(&mut self, time: Duration) -> bool {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => true,
            _ = terminate.recv() => true,
            _ = hangup.recv() => true,
            () = tokio::time::sleep(time) => false,
        }
    }
}

impl Local {
    fn start(options: &DevOptions, owner: Principal) -> Result<Self> {
        let (builder, simulator, process) = match options.server.as_deref() {
            None => {
                let simulator = Server::start(ServerOptions { seed: options.seed, ..ServerOptions::default() });
                let simulator = simulator.context("no simulator")?;
                let url = simulator.url().parse().context("the simulator's URL")?;
                (PocketIcBuilder::new().with_server_url(url), Some(simulator), None)
            }
            Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
                (PocketIcBuilder::new().with_server_url(server::at_url(url)?), None, None)
            }
            Some(binary) => {
                let (process, url) = server::Process::start(Path::new(binary))?;
                (PocketIcBuilder::new().with_server_url(url), None, Some(process))
            }
        };
        // Whether it is free is known before anything is made.
        std::net::TcpListener::bind(("127.0.0.1", options.port))
            .with_context(|| format!("port {} can't be had; name another with --port", options.port))?;
        let mut network = builder.with_nns_subnet().with_application_subnet().build();
        let url = network.make_live(Some(options.port).filter(|&port| port != 0)).to_string();
        let root_key = network.root_key().context("the network has no root key")?;
        Ok(Self { network, _simulator: simulator, _process: process, url, root_key, owner })
    }

    /// Installs the router and, if there is one, the application.
    fn deploy(
        &self,
        options: &DevOptions,
        router_wasm: Option<Vec<u8>>,
        application_wasm: Option<Vec<u8>>,
    ) -> Result<(Principal, Option<Principal>)> {
        let application = application_wasm.as_ref().map(|_| self.create(APPLICATION_CYCLES));
        let router = self.create(ROUTER_CYCLES);
        let init = InitArguments {
            initial_shards: Some(options.shards),
            administrators: Some([&[self.owner], &options.administrator[..]].concat()),
            writers: Some(application.into_iter().collect()),
            ..InitArguments::default()
        };
        let wasm = router_wasm.unwrap_or_else(|| canopy_artifacts::ROUTER_WASM.to_vec());
        self.install(router, wasm, encode(&init)).context("the router")?;
        self.wait_until_ready(router)?;
        if let (Some(canister), Some(wasm)) = (application, application_wasm) {
            self.install(canister, wasm, encode(&router)).context("the application")?;
        }
        Ok((router, application))
    }

    fn create(&self, cycles: u128) -> Principal {
        let canister = self.network.create_canister_with_settings(Some(self.owner), None);
        self.network.add_cycles(canister, cycles);
        canister
    }

    fn install(&self, canister: Principal, wasm: Vec<u8>, argument: Vec<u8>) -> Result<()> {
        // The client's `install_canister` panics when it is refused. On an empty canister, this does the same.
        self.network
            .reinstall_canister(canister, wasm, argument, Some(self.owner))
            .map_err(|reject| anyhow::anyhow!("can't be installed: {}", reject.reject_message))
    }

    fn wait_until_ready(&self, router: Principal) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < READY_MAX {
            let answer = self.network.query_call(router, self.owner, "status", NO_ARGUMENTS.to_vec());
            let answer = answer.map_err(|reject| Failure::network(format!("the router: {}", reject.reject_message)))?;
            let status: Status = decode::<StatusResult>(&answer)
                .map_err(|malformed| Failure::network(format!("the router's status: {}", malformed.reason)))?
                .map_err(not_allowed)?;
            if status.ready {
                return Ok(());
            }
            if let Some(alarm) = status.alarms.first() {
                return Err(unready(format!("the router raised an alarm: {}", alarm_text(alarm))));
            }
            std::thread::sleep(READY_ASK);
        }
        Err(unready(format!("the router was not ready within {} s", READY_MAX.as_secs())))
    }
}

fn unready(why: String) -> anyhow::Error {
    Failure::new(Kind::Incomplete, why).into()
}

/// Reads the key of the local administrator, or makes one, which only this user can read.
fn owner(key: &Path) -> Result<Principal> {
    if !key.exists() {
        let made = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(key);
        let written = made.and_then(|mut file| file.write_all(identity::ed25519_pem(&rand::random()).as_bytes()));
        written.with_context(|| format!("can't write {}", key.display()))?;
    }
    let identity = identity::load(Some(key))?;
    identity.sender().map_err(anyhow::Error::msg)
}
