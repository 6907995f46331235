//! Where instances come from.
//!
//! A PocketIC server when the environment names one (`CANOPY_POCKET_IC_URL`: a running one, `POCKET_IC_BIN`: a binary
//! to start), and otherwise one simulator for the whole process. `CANOPY_SEED` (a number) and `CANOPY_SCHEDULE=shuffled`
//! choose another run of the simulator: in the shuffled schedule its seed decides whatever the platform leaves open.

use std::sync::{Mutex, OnceLock};

use canopy_simulator::chance::{Fault, Schedule};
use canopy_simulator::server::{Server, ServerOptions};
use pocket_ic::{PocketIc, PocketIcBuilder};

static SIMULATOR: OnceLock<Mutex<Server>> = OnceLock::new();

/// Makes an instance with one application subnet.
pub fn instance() -> PocketIc {
    made_by(PocketIcBuilder::new().with_application_subnet())
}

/// Makes an instance that agents can use: its status tells the root key, which a real server takes from an NNS subnet.
pub fn instance_for_agents() -> PocketIc {
    made_by(PocketIcBuilder::new().with_nns_subnet().with_application_subnet())
}

/// Makes an instance with one application subnet on the server at `url`.
pub fn instance_at(url: &str) -> PocketIc {
    at(PocketIcBuilder::new().with_application_subnet(), url).build()
}

fn made_by(builder: PocketIcBuilder) -> PocketIc {
    match real_server() {
        Some(Real::Url(url)) => at(builder, &url).build(),
        Some(Real::Binary) => builder.build(),
        None => at(builder, &simulator_url()).build(),
    }
}

fn at(builder: PocketIcBuilder, url: &str) -> PocketIcBuilder {
    builder.with_server_url(url.parse().expect("the server's URL must be one"))
}

/// Tells whether the simulator can't be used for the test `name`, and says so.
pub fn is_not_applicable(name: &str) -> bool {
    let real = real_server().is_some();
    if real {
        println!("not applicable on a real server: {name}");
    }
    real
}

/// Checks the invariants of an instance of the process's simulator; does nothing for instances elsewhere.
///
/// # Panics
///
/// When one is broken.
pub fn check_invariants(pic: &PocketIc) {
    if real_server().is_some() || pic.get_server_url().as_str() != simulator_url() {
        return;
    }
    let instance = pic.instance_id() as u64;
    let checked = with_simulator(|server| server.on_instance(instance, |instance| instance.check_invariants()));
    if let Err(refusal) = checked {
        panic!("the simulator's invariants don't hold: {refusal:?}");
    }
}

/// Sets how often a fault happens on an instance of the process's simulator, in millionths of the occasions.
pub fn set_fault_rate(pic: &PocketIc, fault: Fault, millionths: u32) {
    let instance = pic.instance_id() as u64;
    let set = with_simulator(|server| {
        server.on_instance(instance, move |instance| instance.set_fault_rate(fault, millionths))
    });
    set.expect("the instance is the simulator's");
}

/// Counts how often a fault has happened on an instance of the process's simulator.
pub fn faults_fired(pic: &PocketIc, fault: Fault) -> u64 {
    let instance = pic.instance_id() as u64;
    let fired = with_simulator(|server| server.on_instance(instance, move |instance| instance.faults_fired(fault)));
    fired.expect("the instance is the simulator's")
}

enum Real {
    Url(String),
    Binary,
}

fn real_server() -> Option<Real> {
    match std::env::var("CANOPY_POCKET_IC_URL") {
        Ok(url) => Some(Real::Url(url)),
        Err(_) => std::env::var_os("POCKET_IC_BIN").map(|_| Real::Binary),
    }
}

fn simulator_url() -> String {
    with_simulator(Server::url)
}

fn with_simulator<R>(action: impl FnOnce(&Server) -> R) -> R {
    let start = || Server::start(simulator_options()).expect("a free port for the simulator");
    let server = SIMULATOR.get_or_init(|| Mutex::new(start()));
    action(&server.lock().expect("nothing panics while it holds the simulator"))
}

fn simulator_options() -> ServerOptions {
    let seed = std::env::var("CANOPY_SEED").map_or(0, |text| text.parse().expect("CANOPY_SEED is a number"));
    let schedule = match std::env::var("CANOPY_SCHEDULE").as_deref() {
        Ok("shuffled") => Schedule::Shuffled,
        Ok("plain") | Err(_) => Schedule::Plain,
        Ok(other) => panic!("CANOPY_SCHEDULE is plain or shuffled, not {other}"),
    };
    ServerOptions { seed, schedule, ..ServerOptions::default() }
}
