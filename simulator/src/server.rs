//! A server in this process: PocketIC's REST interface on a port of its own.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};
use std::{error, fmt};

use axum::serve::ListenerExt;
use tokio::runtime::Runtime;

use crate::chance::Schedule;
use crate::instance::Instance;
use crate::rest::activity::Activity;
use crate::rest::answer::Refusal;
use crate::rest::creation::{CreateInstanceResponse, InstanceConfig};
use crate::rest::instances::{self, Instances};
use crate::rest::{App, router};

/// Threads that serve requests; instances have their own.
const SERVING_THREADS: usize = 2;
/// The longest time between two looks at whether the server is idle.
const IDLE_CHECK_MAX: Duration = Duration::from_secs(1);

/// How a server should be.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    pub ip_addr: IpAddr,
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// A file to make and write the port to, removed at the end. It must not be there yet.
    pub port_file: Option<PathBuf>,
    /// The server ends after so long without a request.
    pub idle_ttl: Option<Duration>,
    /// The server ends so long after its start, whatever it is at.
    pub hard_ttl: Option<Duration>,
    /// The seed of every instance.
    pub seed: u64,
    pub schedule: Schedule,
}

impl Default for ServerOptions {
    /// Local, on a free port, until dropped; seed 0 and the plain schedule.
    fn default() -> Self {
        Self {
            ip_addr: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            port_file: None,
            idle_ttl: None,
            hard_ttl: None,
            seed: 0,
            schedule: Schedule::Plain,
        }
    }
}

/// Why a server did not start.
#[derive(Debug)]
pub enum StartError {
    /// The port file is there: another server serves whoever reads it.
    PortFileExists(PathBuf),
    /// The port file can't be written, the port can't be bound, or threads can't be had.
    Io(&'static str, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortFileExists(path) => write!(f, "{} exists already", path.display()),
            Self::Io(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl error::Error for StartError {}

/// A running server; stops when dropped.
pub struct Server {
    address: SocketAddr,
    app: App,
    runtime: Option<Runtime>,
    port_file: Option<PortFile>,
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Server {
    /// Starts a server on threads of its own.
    ///
    /// # Errors
    /// [`StartError::PortFileExists`] when somebody else made the port file first; [`StartError::Io`] otherwise.
    pub fn start(options: ServerOptions) -> Result<Self, StartError> {
        let mut port_file = options.port_file.map(PortFile::create).transpose()?;
        let listener = TcpListener::bind((options.ip_addr, options.port));
        let listener = listener.map_err(|error| StartError::Io("the port can't be bound", error))?;
        let no_listener = |error| StartError::Io("the port can't be used", error);
        let address = listener.local_addr().map_err(no_listener)?;
        listener.set_nonblocking(true).map_err(no_listener)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(SERVING_THREADS)
            .thread_name("rest")
            .enable_all()
            .build()
            .map_err(|error| StartError::Io("the runtime can't be started", error))?;
        let app = App::new(Instances::new(options.seed, options.schedule));
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(no_listener)?
        };
        let routes = router(app.clone());
        // Small answers must not wait for the acknowledgement of what was sent before. A failure costs time only.
        let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
        runtime.spawn(async move { axum::serve(listener, routes).await });
        let (ending, ended) = mpsc::channel();
        runtime.spawn(end(options.idle_ttl, options.hard_ttl, app.activity.clone(), ending));
        if let Some(file) = &mut port_file {
            file.announce(address.port())?;
        }
        Ok(Self { address, app, runtime: Some(runtime), port_file, ended: Mutex::new(ended) })
    }

    /// Gives the address, with a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Makes a live instance with one application subnet, and a gateway to it at a port of its own (0 takes a free one).
    /// Returns the gateway's address, with a slash at its end. Must not be called from asynchronous code.
    ///
    /// # Errors
    /// `Bad` when the port is taken or no more instances may be made.
    pub fn make_live(&self, port: u16) -> Result<String, Refusal> {
        let ip_addr = self.address.ip();
        let runtime = self.runtime.as_ref().expect("it is there until the server is dropped");
        match runtime.block_on(instances::make(&self.app, InstanceConfig::live(ip_addr, port)))? {
            CreateInstanceResponse::Created { http_gateway_info: Some(gateway), .. } => {
                Ok(format!("http://{}/", SocketAddr::new(ip_addr, gateway.port)))
            }
            other => Err(Refusal::Internal(format!("the instance has no gateway: {other:?}"))),
        }
    }

    /// Blocks until a time to live has run out; for ever when the server has none.
    pub fn wait(self) {
        let ended = self.ended.lock().expect("nothing panics while holding it");
        // The other end goes away only with the runtime, which lives as long as `self`.
        let _ = ended.recv();
    }

    /// Runs a closure on an instance, between its requests, and waits for it: for what REST doesn't offer, such as the
    /// log of events. Must not be called from asynchronous code.
    ///
    /// # Errors
    /// `Bad` when there is no such instance, `Internal` when the instance is broken or the closure panics.
    pub fn on_instance<R: Send + 'static>(
        &self,
        instance: u64,
        work: impl FnOnce(&mut Instance) -> R + Send + 'static,
    ) -> Result<R, Refusal> {
        let entry = self.app.instances.find(&instance.to_string())?;
        let result = entry.host.submit(work)?;
        result.blocking_recv().unwrap_or_else(|_| Err(Refusal::Bad("The instance was deleted.".to_string())))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // First, so that nobody finds a server that is about to go.
        self.port_file.take();
        self.app.instances.clear();
        if let Some(runtime) = self.runtime.take() {
            // Doesn't wait, so a server may be dropped in asynchronous code too.
            runtime.shutdown_background();
        }
    }
}

/// Waits until the server has been idle, or alive, for as long as it may.
async fn end(idle_ttl: Option<Duration>, hard_ttl: Option<Duration>, activity: Activity, ending: mpsc::Sender<()>) {
    let start = Instant::now();
    if idle_ttl.is_none() && hard_ttl.is_none() {
        // Keeps `ending`, so that `wait` waits.
        std::future::pending::<()>().await;
    }
    let interval = [idle_ttl, hard_ttl].into_iter().flatten().fold(IDLE_CHECK_MAX, |least, ttl| least.min(ttl / 4));
    loop {
        tokio::time::sleep(interval).await;
        let idle = idle_ttl.is_some_and(|ttl| activity.idle_for().is_some_and(|idle| idle >= ttl));
        if idle || hard_ttl.is_some_and(|ttl| start.elapsed() >= ttl) {
            // Nobody may be waiting.
            let _ = ending.send(());
            return;
        }
    }
}

/// A file that this server made, removed with it.
struct PortFile {
    path: PathBuf,
    file: fs::File,
}

impl PortFile {
    fn create(path: PathBuf) -> Result<Self, StartError> {
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => Ok(Self { path, file }),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(StartError::PortFileExists(path)),
            Err(error) => Err(StartError::Io("the port file can't be made", error)),
        }
    }

    /// Writes the port and a newline at once: readers wait for the newline.
    fn announce(&mut self, port: u16) -> Result<(), StartError> {
        let written = self.file.write_all(format!("{port}\n").as_bytes()).and_then(|()| self.file.sync_all());
        written.map_err(|error| StartError::Io("the port file can't be written", error))
    }
}

impl Drop for PortFile {
    fn drop(&mut self) {
        // It may be gone already; then there is nothing left to do.
        let _ = fs::remove_file(&self.path);
    }
}
