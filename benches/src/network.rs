//! Where instances come from: a PocketIC server when the environment names one (`CANOPY_POCKET_IC_URL`: a running one,
//! `POCKET_IC_BIN`: a binary to start), and otherwise a simulator in this process.

use std::sync::{Mutex, OnceLock};

use candid::Principal;
use canopy_simulator::instance::Instance;
use canopy_simulator::server::{Server, ServerOptions};
use pocket_ic::{CreateCanisterParams, PocketIc, PocketIcBuilder};

static SIMULATOR: OnceLock<Mutex<Server>> = OnceLock::new();

/// Cycles of a canister: enough for gibibytes of memory and thousands of messages.
const CYCLES: u128 = 1_000_000_000_000_000_000;

/// Makes an instance with one application subnet. What it holds is given back when it is dropped.
pub fn instance() -> PocketIc {
    instance_of(1)
}

/// Makes an instance with so many application subnets.
pub fn instance_of(subnets: usize) -> PocketIc {
    let builder = (0..subnets).fold(PocketIcBuilder::new(), |builder, _| builder.with_application_subnet());
    if let Ok(url) = std::env::var("CANOPY_POCKET_IC_URL") {
        return builder.with_server_url(url.parse().expect("the server's URL must be one")).build();
    }
    if std::env::var_os("POCKET_IC_BIN").is_some() {
        return builder.build();
    }
    let start = || Server::start(ServerOptions::default()).expect("a free port for the simulator");
    let server = SIMULATOR.get_or_init(|| Mutex::new(start()));
    let url = server.lock().expect("nothing panics while it holds the simulator").url();
    builder.with_server_url(url.parse().expect("a server knows its URL")).build()
}

/// Tells whether instances are simulated, so that [`look_into`] finds them.
pub fn is_simulated() -> bool {
    ["CANOPY_POCKET_IC_URL", "POCKET_IC_BIN"].iter().all(|name| std::env::var_os(name).is_none())
}

/// Looks into a simulated instance for what no server tells; `None` on a real server.
pub fn look_into<R: Send + 'static>(
    pic: &PocketIc,
    look: impl FnOnce(&mut Instance) -> R + Send + 'static,
) -> Option<R> {
    let server = SIMULATOR.get()?.lock().expect("nothing panics while it holds the simulator");
    Some(server.on_instance(pic.instance_id() as u64, look).expect("the instance is there"))
}

/// Creates a canister with plenty of cycles and installs a module.
pub fn install(pic: &PocketIc, wasm: Vec<u8>, argument: Vec<u8>) -> Principal {
    let parameters = CreateCanisterParams { cycles: Some(CYCLES), ..CreateCanisterParams::default() };
    let canister = pic.create_canister_with_params(None, parameters).expect("the subnet has room for a canister");
    pic.install_canister(canister, wasm, argument, None);
    canister
}
