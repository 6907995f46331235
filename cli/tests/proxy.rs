//! Stands between the command and a network: holds what it sends once there is enough of it, and can be cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Passes connections on to a network.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

struct State {
    network: String,
    is_cut: AtomicBool,
    bytes: AtomicU64,
    /// Bytes after which nothing more is passed on to the network.
    bytes_max: AtomicU64,
    /// Milliseconds that each piece from the network waits.
    pause: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Passes on to the network at `url`.
    pub fn new(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let network = url.trim_start_matches("http://").trim_end_matches('/').to_string();
        let open = Mutex::default();
        let state = State {
            network,
            is_cut: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            bytes_max: AtomicU64::new(u64::MAX),
            pause: AtomicU64::new(0),
            open,
        };
        let state = Arc::new(state);
        let serving = state.clone();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                serving.serve(connection);
            }
        });
        Self { port, state }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Counts the bytes that went to the network.
    pub fn bytes(&self) -> u64 {
        self.state.bytes.load(Ordering::Relaxed)
    }

    /// Passes on so many bytes to the network, and then holds what comes until it is cut or mended.
    pub fn hold_after(&self, bytes: u64) {
        self.state.bytes_max.store(bytes, Ordering::Relaxed);
    }

    /// Has every piece of 16 KiB that comes from the network wait so long.
    pub fn slow_down(&self, pause: Duration) {
        self.state.pause.store(pause.as_millis() as u64, Ordering::Relaxed);
    }

    /// Tells whether what comes is held.
    pub fn holds(&self) -> bool {
        self.state.holds()
    }

    /// Ends all connections, and takes no more.
    pub fn cut(&self) {
        self.state.is_cut.store(true, Ordering::Relaxed);
        for connection in self.state.open.lock().expect("no panic").drain(..) {
            // It may have ended already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Takes connections again, and holds nothing.
    pub fn mend(&self) {
        self.hold_after(u64::MAX);
        self.state.is_cut.store(false, Ordering::Relaxed);
    }
}

impl State {
    fn holds(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= self.bytes_max.load(Ordering::Relaxed)
    }

    fn serve(self: &Arc<Self>, connection: TcpStream) {
        if self.is_cut.load(Ordering::Relaxed) {
            return;
        }
        let Ok(network) = TcpStream::connect(&self.network) else { return };
        let ends = [connection.try_clone(), network.try_clone(), connection.try_clone(), network.try_clone()];
        let [Ok(kept), Ok(kept_too), Ok(from), Ok(to)] = ends else { return };
        self.open.lock().expect("no panic").extend([kept, kept_too]);
        let (counting, plain) = (self.clone(), self.clone());
        thread::spawn(move || counting.pass(from, to, true));
        thread::spawn(move || plain.pass(network, connection, false));
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream, counted: bool) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count) = from.read(&mut buffer) {
            // Whoever tests ends this.
            while counted && self.holds() && !self.is_cut.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(5));
            }
            if !counted {
                thread::sleep(Duration::from_millis(self.pause.load(Ordering::Relaxed)));
            }
            if count == 0 || self.is_cut.load(Ordering::Relaxed) || to.write_all(&buffer[..count]).is_err() {
                break;
            }
            if counted {
                self.bytes.fetch_add(count as u64, Ordering::Relaxed);
            }
        }
        // The other end may have gone first.
        let _ = to.shutdown(Shutdown::Both);
    }
}
