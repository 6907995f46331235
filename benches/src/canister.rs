//! The benchmark canister: built like the real ones, and driven message by message.

use std::sync::OnceLock;

use candid::Principal;
use canopy_bench_canister::{Action, Command, Reply};
use pocket_ic::PocketIc;

use crate::network;

/// Messages that are under way at the same time.
const MESSAGES_AT_ONCE: usize = 100;

/// The module, built once per process as router and shard are built; or the one that `CANOPY_BENCH_WASM` names, to
/// compare two versions.
pub fn wasm() -> &'static [u8] {
    static WASM: OnceLock<Vec<u8>> = OnceLock::new();
    WASM.get_or_init(|| match std::env::var_os("CANOPY_BENCH_WASM") {
        Some(path) => std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        None => canopy_artifacts::build("canopy-bench-canister"),
    })
}

/// Where commands are run.
pub trait Runner {
    /// Runs one message.
    fn run(&self, command: &Command) -> Reply;
}

/// The same code in this process, over a memory that counts dirtied pages: they are the same there. Only one is alive at
/// a time.
pub struct InProcess;

impl InProcess {
    /// Makes the structure that is measured.
    pub fn new(creation: Action) -> Self {
        InProcess.run(&Command::once(creation));
        InProcess
    }
}

impl Runner for InProcess {
    fn run(&self, command: &Command) -> Reply {
        canopy_bench_canister::run(command, || 0)
    }
}

/// One canister on an instance of its own.
pub struct Canister {
    pub pic: PocketIc,
    pub id: Principal,
}

impl Canister {
    /// Installs the canister, and makes the structure that it measures.
    pub fn new(creation: Action) -> Self {
        let pic = network::instance();
        let id = network::install(&pic, wasm().to_vec(), vec![]);
        let canister = Self { pic, id };
        canister.run(&Command::once(creation));
        canister
    }

    /// Runs messages, none of which shares its execution with another, and adds what they used.
    pub fn run_apart(&self, commands: &[Command]) -> Reply {
        let mut sum = Reply::default();
        for some in commands.chunks(MESSAGES_AT_ONCE) {
            let submit = |command: &Command| {
                self.pic.submit_call(self.id, Principal::anonymous(), "bench", command.write()).expect("it is accepted")
            };
            let messages: Vec<_> = some.iter().map(submit).collect();
            for message in messages {
                sum.add(&Reply::read(&self.pic.await_call(message).expect("the canister replies")));
            }
        }
        sum
    }

    /// Calls a method of another canister in this one's name.
    pub fn forward(&self, callee: Principal, method: &str, argument: &[u8]) -> Vec<u8> {
        let mut message = vec![callee.as_slice().len() as u8];
        message.extend_from_slice(callee.as_slice());
        message.push(method.len() as u8);
        message.extend_from_slice(method.as_bytes());
        message.extend_from_slice(argument);
        self.update("forward", message)
    }

    fn update(&self, method: &str, message: Vec<u8>) -> Vec<u8> {
        let answer = self.pic.update_call(self.id, Principal::anonymous(), method, message);
        answer.unwrap_or_else(|reject| panic!("{method}: {reject}"))
    }
}

impl Runner for Canister {
    fn run(&self, command: &Command) -> Reply {
        Reply::read(&self.update("bench", command.write()))
    }
}
