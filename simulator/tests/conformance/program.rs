//! Programs for the machine canister, and its Wasm.

use std::collections::BTreeMap;
use std::sync::OnceLock;

const SOURCE: &str = include_str!("canisters/machine.wat");

fn table() -> &'static BTreeMap<&'static str, u8> {
    static TABLE: OnceLock<BTreeMap<&'static str, u8>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let list = SOURCE.split("(table funcref (elem").nth(1).expect("the table of opcodes");
        let list = &list[..list.find("))").expect("the end of the table")];
        list.lines()
            .map(|line| line.split(";;").next().unwrap_or(""))
            .flat_map(str::split_whitespace)
            .enumerate()
            .map(|(index, name)| (name.trim_start_matches('$'), index as u8))
            .collect()
    })
}

/// The machine with more entry points: heartbeat, global_timer, inspect_message, on_low_wasm_memory.
pub fn machine_with(entry_points: &[&str]) -> Vec<u8> {
    let exports: String =
        entry_points.iter().map(|name| format!("(export \"canister_{name}\" (func ${name}))\n")).collect();
    let mut text = SOURCE.replace(";;@exports", &exports);
    for callback in ["on_reply", "on_reject", "on_cleanup_cb"] {
        text = text.replace(&format!("@{callback}@"), &table()[callback].to_string());
    }
    wat::parse_str(&text).expect("machine.wat")
}

pub fn machine() -> Vec<u8> {
    machine_with(&[])
}

/// A program under construction; every method appends one instruction.
#[derive(Clone, Default)]
pub struct P(pub Vec<u8>);

pub fn p() -> P {
    P::default()
}

macro_rules! plain {
    ($($name:ident)*) => { $(pub fn $name(self) -> P { self.op(stringify!($name)) })* };
}
macro_rules! with_numbers {
    ($($name:ident($($arg:ident),*))*) => {
        $(pub fn $name(self, $($arg: u64),*) -> P { self.op(stringify!($name))$(.imm($arg))* })*
    };
}

#[expect(clippy::wrong_self_convention, reason = "methods are named like the machine's instructions")]
impl P {
    pub fn op(mut self, name: &str) -> P {
        self.0.push(*table().get(name).unwrap_or_else(|| panic!("no opcode {name}")));
        self
    }
    fn imm(mut self, n: u64) -> P {
        self.0.extend(n.to_le_bytes());
        self
    }
    fn blob(mut self, bytes: &[u8]) -> P {
        self.0.extend((bytes.len() as u32).to_le_bytes());
        self.0.extend(bytes);
        self
    }

    plain! {
        clear size arg argsize caller push gget gset reply append msg_reply reject trap unreachable div0 oob badcall
        time balance liquid avail accept burn refunded deadline reject_code reject_msg data cycles best_effort perform
        cost_create stable_size stable_grow mem_grow mem_size timer cert_set cert_present cert print is_controller
        version status accept_message method replicated log getlog stop deep
    }
    with_numbers! {
        fill(n, byte) konst(n) get(slot) set(slot) inc(slot) add(n) perf(kind) cost_call(name, payload)
        again(hook) stable_write(offset) stable_read(offset, n) touch(address, pages) spin(n)
    }

    pub fn self_id(self) -> P {
        self.op("self")
    }
    pub fn forever(self) -> P {
        self.op("loop")
    }
    pub fn lit(self, bytes: impl AsRef<[u8]>) -> P {
        self.op("lit").blob(bytes.as_ref())
    }
    pub fn repeat(self, n: u64, body: P) -> P {
        self.op("repeat").imm(n).blob(&body.0)
    }
    pub fn ifz(self, body: P) -> P {
        self.op("ifz").blob(&body.0)
    }
    pub fn ifnz(self, body: P) -> P {
        self.op("ifnz").blob(&body.0)
    }
    /// 0 heartbeat, 1 timer, 2 inspect, 3 pre_upgrade, 4 low memory, 5 method `hooked`, 6 query `hooked_query`.
    pub fn hook(self, number: u64, program: P) -> P {
        self.op("hook").imm(number).blob(&program.0)
    }
    pub fn call(self, callee: impl AsRef<[u8]>, method: &str, on_reply: P, on_reject: P) -> P {
        self.op("call").blob(callee.as_ref()).blob(method.as_bytes()).blob(&on_reply.0).blob(&on_reject.0)
    }
    /// Callbacks are the table entries numbered r.
    pub fn call_badfn(self, callee: impl AsRef<[u8]>, method: &str) -> P {
        self.op("call_badfn").blob(callee.as_ref()).blob(method.as_bytes()).blob(&[]).blob(&[])
    }
    pub fn on_cleanup(self, program: P) -> P {
        self.op("on_cleanup").blob(&program.0)
    }
    pub fn then(mut self, other: P) -> P {
        self.0.extend(other.0);
        self
    }

    /// A whole call whose outcome is the reply of this message, see `report` in net.rs.
    pub fn ask(self, callee: impl AsRef<[u8]>, method: &str, payload: P, options: Ask) -> P {
        let mut it = self.call(callee, method, on_reply(), on_reject());
        if let Some(program) = options.cleanup {
            it = it.on_cleanup(program);
        }
        it = it.lit(&payload.0).data();
        if options.fill > 0 {
            it = it.fill(options.fill, 0).data();
        }
        if options.cycles > 0 {
            it = it.konst(options.cycles).cycles();
        }
        if options.timeout > 0 {
            it = it.konst(options.timeout).best_effort();
        }
        it.perform().ifnz(p().clear().lit("P").push().reply())
    }
}

#[derive(Default)]
pub struct Ask {
    pub cycles: u64,
    pub timeout: u64,
    pub fill: u64,
    pub cleanup: Option<P>,
}

pub fn plain() -> Ask {
    Ask::default()
}
pub fn with_cycles(cycles: u64) -> Ask {
    Ask { cycles, ..Ask::default() }
}
pub fn within(timeout: u64) -> Ask {
    Ask { timeout, ..Ask::default() }
}

pub fn on_reply() -> P {
    p().lit("R").refunded().push().arg().reply()
}
pub fn on_reject() -> P {
    p().lit("J").reject_code().push().refunded().push().reject_msg().reply()
}

/// No arguments, in Candid.
pub const NOTHING: &[u8] = b"DIDL\0\0";

/// Keeps the message open until slot 63 is not 0, then runs the program. Each round it asks the
/// management canister for randomness; the loop is kept as hook 7.
pub fn hold_then(program: P) -> P {
    let turn = p().get(63).ifnz(program).get(63).ifz(p().again(7));
    p().hook(7, p().call([], "raw_rand", turn.clone(), turn).lit(NOTHING).data().perform()).again(7)
}

pub fn release() -> P {
    p().konst(1).set(63).reply()
}
