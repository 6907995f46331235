//! An instance with names for its canisters, and observations as JSON.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use candid::{CandidType, Decode, Encode, Principal};
use ic_management_canister_types::{CanisterInstallMode, InstallCodeArgs};
use pocket_ic::common::rest::RawEffectivePrincipal;
use pocket_ic::{PocketIc, PocketIcBuilder, RejectResponse};
use serde_json::{Value, json};

use crate::conformance::program::{P, machine, machine_with};
use crate::conformance::url;

pub type Reply = Result<Vec<u8>, RejectResponse>;
pub type Id = Principal;

pub const T: u128 = 1_000_000_000_000;
pub const ANONYMOUS: Principal = Principal::anonymous();
pub const MANAGEMENT: Principal = Principal::management_canister();

thread_local! {
    static NAMES: RefCell<Vec<(String, String)>> = const { RefCell::new(Vec::new()) };
}

pub fn user(n: u8) -> Principal {
    Principal::self_authenticating([n; 32])
}

pub fn builder() -> PocketIcBuilder {
    PocketIcBuilder::new().with_server_url(url().parse().expect("a URL"))
}

pub struct Net {
    pub pic: PocketIc,
}

impl std::ops::Deref for Net {
    type Target = PocketIc;
    fn deref(&self) -> &PocketIc {
        &self.pic
    }
}

/// One application subnet.
pub fn net() -> Net {
    Net { pic: builder().with_application_subnet().build() }
}

/// Two application subnets, in the order of their ranges' ids in the topology's listing by principal.
pub fn two_subnets() -> (Net, Id, Id) {
    let net = Net { pic: builder().with_application_subnet().with_application_subnet().build() };
    let subnets = net.topology().get_app_subnets();
    (net, subnets[0], subnets[1])
}

impl Net {
    pub fn name(&self, id: Id, name: &str) -> Id {
        NAMES.with_borrow_mut(|names| names.push((id.to_text(), format!("<{name}>"))));
        id
    }
    /// An empty canister with 100 T cycles.
    pub fn empty(&self, name: &str) -> Id {
        let id = self.create_canister();
        self.name(id, name)
    }
    pub fn machine(&self, name: &str) -> Id {
        self.install(self.empty(name), &machine())
    }
    pub fn machine_on(&self, subnet: Id, name: &str) -> Id {
        let id = self.create_canister_on_subnet(None, None, subnet);
        self.add_cycles(id, 100 * T);
        self.install(self.name(id, name), &machine())
    }
    pub fn special(&self, name: &str, entry_points: &[&str]) -> Id {
        self.install(self.empty(name), &machine_with(entry_points))
    }
    pub fn install(&self, id: Id, wasm: &[u8]) -> Id {
        self.install_canister(id, wasm.to_vec(), vec![], None);
        id
    }
    pub fn wat(&self, name: &str, text: &str) -> Id {
        self.install(self.empty(name), &wat::parse_str(text).expect("wat"))
    }

    pub fn install_mode(&self, id: Id, mode: CanisterInstallMode, wasm: Vec<u8>, arg: Vec<u8>) -> Reply {
        let args = InstallCodeArgs { mode, canister_id: id, wasm_module: wasm, arg, sender_canister_version: None };
        self.mgmt("install_code", args, id)
    }
    pub fn try_install(&self, id: Id, wasm: Vec<u8>, arg: Vec<u8>) -> Value {
        done(self.install_mode(id, CanisterInstallMode::Install, wasm, arg))
    }
    pub fn try_upgrade(&self, id: Id, wasm: Vec<u8>, arg: P) -> Value {
        done(self.install_mode(id, CanisterInstallMode::Upgrade(None), wasm, arg.0))
    }

    pub fn up(&self, id: Id, program: P) -> Reply {
        self.update_call(id, ANONYMOUS, "update", program.0)
    }
    pub fn q(&self, id: Id, program: P) -> Reply {
        self.query_call(id, ANONYMOUS, "query", program.0)
    }
    pub fn cq(&self, id: Id, program: P) -> Reply {
        self.query_call(id, ANONYMOUS, "composite", program.0)
    }
    pub fn submit(&self, id: Id, program: P) -> pocket_ic::common::rest::RawMessageId {
        self.submit_call(id, ANONYMOUS, "update", program.0).expect("accepted")
    }
    /// The numbers of a reply of u64s; must succeed.
    pub fn nums(&self, id: Id, program: P) -> Vec<u64> {
        ints(&self.up(id, program).expect("a reply"))
    }
    pub fn qnums(&self, id: Id, program: P) -> Vec<u64> {
        ints(&self.q(id, program).expect("a reply"))
    }
    /// One slot of a machine, by query.
    pub fn slot(&self, id: Id, slot: u64) -> u64 {
        self.qnums(id, crate::conformance::program::p().get(slot).push().reply())[0]
    }
    pub fn log_of(&self, id: Id) -> String {
        text(&self.q(id, crate::conformance::program::p().getlog().reply()).expect("a log"))
    }
    pub fn mgmt_as<A: CandidType>(&self, sender: Id, method: &str, arg: A, effective: Id) -> Reply {
        self.mgmt_raw(sender, method, encode(arg), effective)
    }
    pub fn mgmt<A: CandidType>(&self, method: &str, arg: A, effective: Id) -> Reply {
        self.mgmt_as(ANONYMOUS, method, arg, effective)
    }
    pub fn mgmt_raw(&self, sender: Id, method: &str, arg: Vec<u8>, effective: Id) -> Reply {
        let effective = RawEffectivePrincipal::CanisterId(effective.as_slice().to_vec());
        self.update_call_with_effective_principal(MANAGEMENT, effective, sender, method, arg)
    }
    pub fn status(&self, id: Id) -> Value {
        status_of(self.mgmt("canister_status", OneId { canister_id: id }, id))
    }
    pub fn seconds(&self, n: u64) {
        self.advance_time(Duration::from_secs(n));
    }
    pub fn ticks(&self, n: u64) {
        for _ in 0..n {
            self.tick();
        }
    }
    pub fn nanos(&self) -> u64 {
        self.get_time().as_nanos_since_unix_epoch()
    }
    /// Runs something and gives what the balance lost (storage of the few rounds included).
    pub fn spent<R>(&self, id: Id, what: impl FnOnce() -> R) -> (R, i64) {
        let before = self.cycle_balance(id) as i128;
        let result = what();
        (result, (before - self.cycle_balance(id) as i128) as i64)
    }
    /// Burns what can be burnt, then adds up to the amount.
    pub fn set_balance(&self, id: Id, amount: u128) {
        self.up(id, crate::conformance::program::p().konst(u64::MAX).burn().reply()).expect("burns");
        let left = self.cycle_balance(id);
        assert!(left <= amount, "{left} left");
        self.add_cycles(id, amount - left);
    }
    /// Rounds until the message has an answer, at most 100.
    pub fn rounds(&self, message: pocket_ic::common::rest::RawMessageId) -> (Value, u64) {
        for round in 0..100 {
            if let Some(answer) = self.ingress_status(message.clone()) {
                return (outcome(answer), round);
            }
            self.tick();
        }
        (json!("no answer in 100 rounds"), 100)
    }
}

pub fn encode<A: CandidType>(arg: A) -> Vec<u8> {
    Encode!(&arg).expect("candid")
}

#[derive(CandidType)]
pub struct OneId {
    pub canister_id: Id,
}

/// The record that servers of any age can give.
#[derive(CandidType, serde::Deserialize)]
pub struct Status {
    pub status: StatusKind,
    pub module_hash: Option<Vec<u8>>,
    pub memory_size: candid::Nat,
    pub cycles: candid::Nat,
    pub idle_cycles_burned_per_day: candid::Nat,
    pub settings: Settings,
}
#[derive(CandidType, serde::Deserialize)]
pub enum StatusKind {
    #[serde(rename = "running")]
    Running,
    #[serde(rename = "stopping")]
    Stopping,
    #[serde(rename = "stopped")]
    Stopped,
}
#[derive(CandidType, serde::Deserialize)]
pub struct Settings {
    pub controllers: Vec<Principal>,
    pub compute_allocation: candid::Nat,
    pub memory_allocation: candid::Nat,
    pub freezing_threshold: candid::Nat,
    pub reserved_cycles_limit: candid::Nat,
    pub wasm_memory_limit: candid::Nat,
    pub wasm_memory_threshold: candid::Nat,
}

pub fn decode_status(bytes: &[u8]) -> Value {
    let s = Decode!(bytes, Status).expect("a canister status");
    let controllers: Vec<String> = s.settings.controllers.iter().map(|c| norm(&c.to_text())).collect();
    json!({
        "status": match s.status {
            StatusKind::Running => "running",
            StatusKind::Stopping => "stopping",
            StatusKind::Stopped => "stopped",
        },
        "module": s.module_hash.is_some(),
        // Some hundred bytes of history and the like differ by version.
        "memory_size_16kib": nat(&s.memory_size) >> 14,
        "controllers": controllers,
        "compute_allocation": nat(&s.settings.compute_allocation),
        "memory_allocation": nat(&s.settings.memory_allocation),
        "freezing_threshold": nat(&s.settings.freezing_threshold),
        "reserved_cycles_limit": nat(&s.settings.reserved_cycles_limit),
        "wasm_memory_limit": nat(&s.settings.wasm_memory_limit),
        "wasm_memory_threshold": nat(&s.settings.wasm_memory_threshold),
    })
}

pub fn status_of(reply: Reply) -> Value {
    match reply {
        Ok(bytes) => decode_status(&bytes),
        Err(_) => outcome(reply),
    }
}

/// Only the word: running, stopping, stopped.
pub fn state(status: &Value) -> Value {
    status.get("status").unwrap_or(status).clone()
}

pub fn nat(n: &candid::Nat) -> u64 {
    u64::try_from(&n.0).expect("fits in u64")
}

pub fn ints(bytes: &[u8]) -> Vec<u64> {
    assert!(bytes.len().is_multiple_of(8), "not a list of u64: {}", text(bytes));
    bytes.chunks(8).map(|c| u64::from_le_bytes(c.try_into().expect("8 bytes"))).collect()
}

/// Text when printable, else hex; long ones by length only.
pub fn text(bytes: &[u8]) -> String {
    if bytes.len() > 2000 {
        return format!("{} bytes", bytes.len());
    }
    match std::str::from_utf8(bytes) {
        Ok(s) if s.chars().all(|c| !c.is_control() || c == '\n') => norm(s),
        _ => format!("0x{}", hex::encode(bytes)),
    }
}

/// Principals become names.
pub fn norm(s: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    let flush = |word: &mut String, out: &mut String| {
        let known = NAMES.with_borrow(|names| names.iter().find(|(id, _)| id == word).map(|(_, name)| name.clone()));
        let principal = word.len() > 9 && word.contains('-') && Principal::from_text(word.as_str()).is_ok();
        match known {
            Some(name) => out.push_str(&name),
            None if word == "2vxsx-fae" => out.push_str("<anonymous>"),
            None if principal => out.push_str("<principal>"),
            None => out.push_str(word),
        }
        word.clear();
    };
    for c in s.chars() {
        if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' {
            word.push(c);
        } else {
            flush(&mut word, &mut out);
            out.push(c);
        }
    }
    flush(&mut word, &mut out);
    out
}

/// A reject message without the lines of help and backtrace, and without the dots before them,
/// cut at 200 characters.
pub fn first_line(s: &str) -> String {
    let line = amounts(&norm(s.lines().next().unwrap_or("").trim_end_matches('.')));
    line.chars().take(200).collect()
}

/// Amounts written like 6_462_212 become #: they depend on the last few instructions.
fn amounts(s: &str) -> String {
    let mut out = String::new();
    let mut number = String::new();
    for c in s.chars().chain(Some('\0')) {
        if c.is_ascii_digit() || (c == '_' && !number.is_empty()) {
            number.push(c);
            continue;
        }
        out.push_str(if number.contains('_') && !number.ends_with('_') { "#" } else { &number });
        number.clear();
        out.push(c);
    }
    out.pop();
    out
}

pub fn rejection(e: &RejectResponse) -> Value {
    json!({
        "reject_code": format!("{:?}", e.reject_code),
        "error_code": format!("{:?}", e.error_code),
        "message": first_line(&e.reject_message),
    })
}

pub fn outcome(reply: Reply) -> Value {
    match reply {
        Ok(bytes) => json!({ "reply": text(&bytes) }),
        Err(e) => rejection(&e),
    }
}

/// Only whether it worked, or the rejection.
pub fn done(reply: Reply) -> Value {
    unit(reply)
}

pub fn unit<R>(result: Result<R, RejectResponse>) -> Value {
    match result {
        Ok(_) => json!("ok"),
        Err(e) => rejection(&e),
    }
}

/// What an `ask` replied: how its call ended.
pub fn report(reply: Reply) -> Value {
    let bytes = match reply {
        Ok(bytes) => bytes,
        Err(e) => return json!({ "asker": rejection(&e) }),
    };
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    match bytes.first() {
        Some(b'R') => json!({ "refunded": number(1), "reply": text(&bytes[9..]) }),
        Some(b'J') => json!({
            "reject_code": number(1),
            "refunded": number(9),
            "message": first_line(&String::from_utf8_lossy(&bytes[17..])),
        }),
        Some(b'P') => json!({ "perform": number(1) }),
        _ => json!({ "unknown": text(&bytes) }),
    }
}

pub fn refused<R>(what: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(what)).is_err()
}

pub fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|s| s.to_string()))
        .unwrap_or_else(|| "a panic without text".to_string())
}

/// One request as it is, without the client: status and body.
pub fn http(method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let client = reqwest::blocking::Client::new();
    let url = format!("{}{path}", url());
    let mut request = client.request(method.parse().expect("a method"), url);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().expect("an answer");
    let status = response.status().as_u16();
    let text = response.text().unwrap_or_default();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
