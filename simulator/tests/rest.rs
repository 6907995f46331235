use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use candid::{Encode, Principal};
use canopy_simulator::chance::Schedule;
use canopy_simulator::rest::BODY_BYTES_MAX;
use canopy_simulator::rest::answer::Refusal;
use canopy_simulator::rest::instances::INSTANCES_MAX;
use canopy_simulator::server::{Server, ServerOptions, StartError};
use flate2::Compression;
use flate2::write::GzEncoder;
use pocket_ic::common::rest::{BlobCompression, SubnetKind};
use pocket_ic::{PocketIc, PocketIcBuilder, StartServerParams};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_canopy-simulator");
/// Longer than anything here takes when it works.
const PATIENCE: Duration = Duration::from_secs(30);

fn server() -> Server {
    Server::start(ServerOptions::default()).expect("a free port")
}

fn builder(server: &Server) -> PocketIcBuilder {
    PocketIcBuilder::new().with_server_url(server.url().parse().expect("a URL"))
}

fn network(server: &Server) -> PocketIc {
    builder(server).with_application_subnet().build()
}

/// Sends one request and gives status and JSON (or text) of the answer.
fn send(server: &Server, method: &str, path: &str, body: impl Into<reqwest::blocking::Body>) -> (u16, Value) {
    send_with(server, method, path, &[], body)
}

fn send_with(
    server: &Server,
    method: &str,
    path: &str,
    headers: &[(&'static str, &'static str)],
    body: impl Into<reqwest::blocking::Body>,
) -> (u16, Value) {
    let url = format!("{}{path}", server.url());
    let client = reqwest::blocking::Client::new();
    let mut request = client.request(method.parse().expect("a method"), url).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().expect("an answer");
    let status = response.status().as_u16();
    let text = response.text().expect("text");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn get(server: &Server, path: &str) -> (u16, Value) {
    send(server, "GET", path, "")
}

fn post(server: &Server, path: &str, body: Value) -> (u16, Value) {
    send(server, "POST", path, body.to_string())
}

fn configuration() -> Value {
    let subnet = json!({ "state_config": "New", "instruction_config": "Production", "subnet_admins": null });
    json!({ "subnet_config_set": {
        "nns": null, "sns": null, "ii": null, "fiduciary": null, "bitcoin": null, "test_threshold_keys": null,
        "system": [], "application": [subnet], "verified_application": [] } })
}

fn message_of(answer: &(u16, Value)) -> &str {
    answer.1["message"].as_str().unwrap_or_else(|| panic!("no message in {answer:?}"))
}

#[expect(clippy::disallowed_methods, reason = "live instances follow the wall clock")]
fn wall_nanos() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos() as u64
}

fn nanos(net: &PocketIc) -> u64 {
    net.get_time().as_nanos_since_unix_epoch()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn topology_is_what_was_asked_for() {
    let server = server();
    let net = builder(&server).with_application_subnet().with_application_subnet().with_system_subnet().build();
    let topology = net.topology();
    let kinds: Vec<SubnetKind> = topology.subnet_configs.values().map(|config| config.subnet_kind).collect();
    assert_eq!(topology.get_app_subnets().len(), 2);
    assert_eq!(kinds.iter().filter(|kind| **kind == SubnetKind::System).count(), 1);
    let default = Principal::from_slice(&topology.default_effective_canister_id.canister_id);
    assert!(topology.get_app_subnets().contains(&topology.get_subnet(default).expect("in a range")));
    let (status, shown) = get(&server, &format!("instances/{}/_/topology", net.instance_id()));
    assert_eq!((status, shown["subnet_configs"].as_object().map(|configs| configs.len())), (200, Some(3)));
}

#[test]
fn same_seed_gives_the_same_subnets_and_another_seed_others() {
    let subnets = |seed, schedule| {
        let server = Server::start(ServerOptions { seed, schedule, ..ServerOptions::default() }).expect("a free port");
        let of = |net: PocketIc| net.topology().subnet_configs.into_keys().collect::<Vec<_>>();
        let (first, second) = (of(network(&server)), of(network(&server)));
        assert_eq!(first, second, "instances of a server differ");
        first
    };
    assert_eq!(subnets(7, Schedule::Plain), subnets(7, Schedule::Shuffled));
    assert_ne!(subnets(7, Schedule::Plain), subnets(8, Schedule::Plain));
}

#[test]
fn time_goes_forward_only() {
    let server = server();
    let net = network(&server);
    let before = nanos(&net);
    net.advance_time(Duration::from_secs(60));
    assert_eq!(nanos(&net) - before, 60_000_000_000);
    let path = format!("instances/{}/update/set_time", net.instance_id());
    let answer = post(&server, &path, json!({ "nanos_since_epoch": before - 1 }));
    assert_eq!(answer.0, 400);
    assert!(!message_of(&answer).is_empty());
}

#[test]
fn malformed_bodies_are_refused_with_a_message() {
    let server = server();
    let net = network(&server);
    let path = |end: &str| format!("instances/{}/{end}", net.instance_id());
    let cases = [
        ("read/query", "{".to_string()),
        ("read/query", "null".to_string()),
        ("read/get_cycles", json!({ "wrong": 1 }).to_string()),
        ("read/get_cycles", json!({ "canister_id": "no base64!" }).to_string()),
        ("read/get_cycles", json!({ "canister_id": "A".repeat(40 * 4) }).to_string()),
        ("update/set_time", json!({ "nanos_since_epoch": -1 }).to_string()),
        ("update/set_time", json!({ "nanos_since_epoch": 1e30 }).to_string()),
        ("update/add_cycles", json!({ "canister_id": "AA==", "amount": "1" }).to_string()),
        ("update/await_ingress_message", json!({ "effective_principal": "None", "message_id": "AA==" }).to_string()),
        ("update/set_stable_memory", json!({ "canister_id": "AA==", "blob_id": "AA==" }).to_string()),
        ("auto_progress", String::new()),
    ];
    for (end, body) in cases {
        let answer = send(&server, "POST", &path(end), body.clone());
        assert_eq!(answer.0, 400, "{end} {body}: {answer:?}");
        assert!(!message_of(&answer).is_empty());
    }
    let (status, answer) = send(&server, "POST", "instances", "[]");
    assert_eq!(status, 400);
    assert!(answer["Error"]["message"].is_string(), "{answer}");
    assert_eq!(net.get_time(), net.get_time(), "the instance still answers");
}

#[test]
fn unknown_things_are_told_apart() {
    let server = server();
    let net = network(&server);
    for path in ["instances/77/read/get_time", "instances/x/read/get_time", "instances/-1/auto_progress"] {
        assert_eq!(get(&server, path).0, 400, "{path}");
    }
    for path in ["nothing", "instances/0/read/nothing", "instances/0/api/v9/status", "read_graph/0/1"] {
        let answer = get(&server, path);
        assert_eq!(answer.0, 404, "{path}");
        assert!(!message_of(&answer).is_empty());
    }
    assert_eq!(send(&server, "DELETE", "instances/77", "").0, 400);
    assert_eq!(send(&server, "DELETE", "prune_graph/0/1", "").0, 404);
    assert_eq!(send(&server, "POST", "http_gateway/5/stop", "").0, 404);
    assert_eq!(get(&server, "status/").0, 200);
    let id = net.instance_id();
    drop(net);
    assert_eq!(get(&server, &format!("instances/{id}/read/get_time")).0, 400);
    assert_eq!(get(&server, "instances").1, json!(["Deleted"]));
}

#[test]
fn what_cannot_be_simulated_is_refused_by_name() {
    let server = server();
    type Change<'a> = &'a dyn Fn(&mut Value);
    let with = |change: Change| {
        let mut config = configuration();
        change(&mut config);
        post(&server, "instances", config)
    };
    let refused: [(&str, Change); 7] = [
        ("icp_token", &|c| c["icp_features"] = json!({ "icp_token": "DefaultConfig", "registry": null })),
        ("time_travel", &|c| c["icp_features"] = json!({ "time_travel": "DefaultConfig" })),
        ("state_dir", &|c| c["state_dir"] = json!("/tmp/state")),
        ("new", &|c| c["subnet_config_set"]["application"][0]["state_config"] = json!({ "FromPath": "/tmp/state" })),
        ("Free", &|c| c["subnet_config_set"]["application"][0]["subnet_admins"] = json!([])),
        ("at least one", &|c| c["subnet_config_set"]["application"] = json!([])),
        ("initial time", &|c| c["initial_time"] = json!({ "Timestamp": { "nanos_since_epoch": 5 } })),
    ];
    for (word, change) in refused {
        let (status, answer) = with(change);
        let message = answer["Error"]["message"].as_str().expect("a message");
        assert_eq!(status, 400);
        assert!(message.contains(word), "{word} is not in: {message}");
    }
    let (status, answer) = with(&|c| c["never_heard_of"] = json!({ "a": [1] }));
    assert_eq!(status, 201, "unknown fields are ignored: {answer}");
}

#[test]
fn huge_bodies_are_refused_and_the_server_lives() {
    let server = server();
    let net = network(&server);
    let path = format!("instances/{}/read/query", net.instance_id());
    let answer = send(&server, "POST", &path, vec![b' '; BODY_BYTES_MAX + 1]);
    assert_eq!(answer.0, 413);
    let a = net.create_canister();
    let call = |bytes: usize| {
        use base64::Engine;
        let text = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        json!({ "sender": text(&[4]), "canister_id": text(a.as_slice()), "effective_principal": "None",
            "method": "m", "payload": text(&vec![0; bytes]) })
    };
    let path = format!("instances/{}/update/submit_ingress_message", net.instance_id());
    let answer = post(&server, &path, call(2 << 20));
    assert_eq!(answer.0, 400);
    assert!(message_of(&answer).contains("2097152"), "{answer:?}");
    let (status, answer) = post(&server, &path, call((2 << 20) - 1_000));
    assert_eq!((status, &answer["Err"]["error_code"]), (200, &json!("CanisterWasmModuleNotFound")));
}

#[test]
fn amounts_beyond_64_bits_pass() {
    let server = server();
    let net = network(&server);
    let a = net.create_canister();
    let before = net.cycle_balance(a);
    assert_eq!(net.add_cycles(a, 1 << 90), before + (1 << 90));
}

#[test]
fn number_of_instances_is_bounded() {
    let server = server();
    for _ in 0..INSTANCES_MAX {
        assert_eq!(post(&server, "instances", configuration()).0, 201);
    }
    let (status, answer) = post(&server, "instances", configuration());
    assert_eq!(status, 400);
    assert!(answer["Error"]["message"].is_string());
    assert_eq!(send(&server, "DELETE", "instances/3", "").0, 200);
    wait_until("a deleted instance makes room", || post(&server, "instances", configuration()).0 == 201);
}

#[test]
fn panic_breaks_its_instance_and_nothing_else() {
    let server = server();
    let (broken, sound) = (network(&server), network(&server));
    let id = broken.instance_id() as u64;
    let panicked = server.on_instance(id, |_| panic!("a bug in the scheduler"));
    assert!(matches!(panicked, Err(Refusal::Internal(text)) if text.contains("a bug in the scheduler")));
    let answer = get(&server, &format!("instances/{id}/read/get_time"));
    assert_eq!(answer.0, 500);
    assert!(message_of(&answer).contains("a bug in the scheduler"), "{answer:?}");
    let (_, list) = get(&server, "instances");
    assert!(list[id as usize].as_str().is_some_and(|state| state.starts_with("Broken")), "{list}");
    sound.tick();
    assert_eq!(send(&server, "DELETE", &format!("instances/{id}"), "").0, 200);
    sound.tick();
}

#[test]
fn long_operation_is_answered_later() {
    let server = server();
    let net = network(&server);
    let id = net.instance_id() as u64;
    let path = format!("instances/{id}/update/tick");
    let body = json!({ "blockmakers": null }).to_string();
    let (hold, held) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let server = &server;
        let busy = scope.spawn(move || server.on_instance(id, move |_| held.recv().is_ok()));
        wait_until("the instance is busy", || get(server, "instances").1[id as usize] == "Busy");
        let (status, started) = send_with(server, "POST", &path, &[("processing-timeout-ms", "1")], body.clone());
        assert_eq!(status, 202, "{started}");
        let operation = |verb| {
            let text = |key| started[key].as_str().expect("text").to_string();
            format!("{verb}/{}/{}", text("state_label"), text("op_id"))
        };
        assert_eq!(get(server, &operation("read_graph")).0, 404, "it has not finished");
        hold.send(()).expect("somebody waits");
        assert_eq!(busy.join().expect("no panic"), Ok(true));
        wait_until("the operation has finished", || get(server, &operation("read_graph")).0 != 404);
        assert_eq!(get(server, &operation("read_graph")), (200, Value::Null));
        assert_eq!(send(server, "DELETE", &operation("prune_graph"), "").0, 200);
        assert_eq!(get(server, &operation("read_graph")).0, 404, "it is forgotten");
    });
    let answer = send_with(&server, "POST", &path, &[("processing-timeout-ms", "soon")], body);
    assert_eq!(answer.0, 400);
}

#[test]
fn stable_memory_is_set_from_plain_and_gzipped_blobs() {
    let server = server();
    let net = network(&server);
    let a = net.create_canister();
    let wasm = wat::parse_str("(module (memory 1))").expect("a module");
    net.install_canister(a, wasm, Encode!().expect("candid"), None);
    let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    zip.write_all(&bytes).expect("memory");
    for (data, compression) in
        [(bytes.clone(), BlobCompression::NoCompression), (zip.finish().expect("memory"), BlobCompression::Gzip)]
    {
        net.set_stable_memory(a, data, compression);
        let read = net.get_stable_memory(a);
        assert!(read.starts_with(&bytes), "{} bytes came back", read.len());
        assert!(read[bytes.len()..].iter().all(|byte| *byte == 0));
        net.set_stable_memory(a, Vec::new(), BlobCompression::NoCompression);
    }
    let broken = send_with(&server, "POST", "blobstore", &[("content-encoding", "gzip")], "not gzip");
    let hash = hex::decode(broken.1.as_str().expect("hex")).expect("hex");
    use base64::Engine;
    let text = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let path = format!("instances/{}/update/set_stable_memory", net.instance_id());
    let answer = post(&server, &path, json!({ "canister_id": text(a.as_slice()), "blob_id": text(&hash) }));
    assert_eq!(answer.0, 400, "{answer:?}");
}

#[test]
fn blockmakers_must_exist() {
    let server = server();
    let net = network(&server);
    let path = format!("instances/{}/update/tick", net.instance_id());
    let unknown = json!({ "blockmakers": [{ "subnet": { "subnet_id": "BA==" }, "blockmaker": { "node_id": "BA==" },
        "failed_blockmakers": [] }] });
    assert_eq!(post(&server, &path, unknown).0, 400);
    assert_eq!(post(&server, &path, json!({})).0, 200);
}

#[test]
fn live_instance_follows_the_wall_clock() {
    let server = server();
    let mut net = network(&server);
    assert!(!net.auto_progress_enabled());
    let url = net.make_live(None);
    assert!(net.auto_progress_enabled());
    let behind = || wall_nanos().abs_diff(nanos(&net));
    assert!(behind() < 5_000_000_000, "{} ns", behind());
    let first = nanos(&net);
    wait_until("time goes by itself", || nanos(&net) - first > 300_000_000);
    assert!(url.port().is_some_and(|port| port != server.port()));
    let (_, gateways) = get(&server, "http_gateway");
    assert_eq!(gateways[0]["forward_to"], json!({ "PocketIcInstance": net.instance_id() }));
    net.stop_live();
    assert!(!net.auto_progress_enabled());
    assert_eq!(get(&server, "http_gateway").1, json!([]));
    // A round may have been under way.
    net.tick();
    let stopped = net.get_time();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(net.get_time(), stopped);
}

#[test]
fn live_instance_can_be_asked_for_at_creation() {
    let server = server();
    let mut config = configuration();
    config["initial_time"] = json!({ "AutoProgress": { "artificial_delay_ms": null } });
    config["http_gateway_config"] = json!({ "ip_addr": null, "port": null, "domains": null, "https_config": null });
    let (status, created) = post(&server, "instances", config);
    assert_eq!(status, 201);
    let created = &created["Created"];
    let port = created["http_gateway_info"]["port"].as_u64().expect("a port");
    assert_eq!(get(&server, &format!("instances/{}/auto_progress", created["instance_id"])), (200, json!(true)));
    let page = reqwest::blocking::get(format!("http://127.0.0.1:{port}/nothing")).expect("an answer");
    assert_eq!(page.status().as_u16(), 404);
    assert_eq!(send(&server, "DELETE", &format!("instances/{}", created["instance_id"]), "").0, 200);
    wait_until("the gateway closes with its instance", || {
        reqwest::blocking::get(format!("http://127.0.0.1:{port}/nothing")).is_err()
    });
}

#[test]
fn server_in_the_process_owns_its_port_file_and_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("port");
    let options = ServerOptions {
        port_file: Some(path.clone()),
        idle_ttl: Some(Duration::from_millis(300)),
        ..ServerOptions::default()
    };
    let server = Server::start(options.clone()).expect("a free port");
    assert_eq!(fs::read_to_string(&path).expect("the file"), format!("{}\n", server.port()));
    assert!(matches!(Server::start(options), Err(StartError::PortFileExists(_))));
    server.wait();
    assert!(!path.exists());
}

#[test]
fn program_tells_the_version_that_clients_expect() {
    let folder = tempfile::tempdir().expect("a folder");
    let renamed = folder.path().join("pocket-ic");
    std::os::unix::fs::symlink(BINARY, &renamed).expect("a link");
    for program in [Path::new(BINARY), &renamed] {
        let output = Command::new(program).arg("--version").output().expect("runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "pocket-ic-server 16.1.0\n");
    }
}

#[test]
fn one_of_two_programs_wins_the_port_file_and_the_other_exits_quietly() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("port");
    let start = || {
        let mut command = Command::new(BINARY);
        command.args(["--hard-ttl", "3", "--ttl", "60", "--seed", "5", "--schedule", "shuffled"]);
        command.args(["--log-levels", "error", "--port", "0", "--ip-addr", "127.0.0.1"]);
        command.arg("--port-file").arg(&path).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs")
    };
    let mut programs: [Child; 2] = [start(), start()];
    wait_until("one has exited", || programs.iter_mut().any(|program| program.try_wait().expect("a child").is_some()));
    let running = programs.iter_mut().position(|program| program.try_wait().expect("a child").is_none());
    let [winner, loser] = match running.expect("one serves") {
        0 => programs,
        _ => {
            let [first, second] = programs;
            [second, first]
        }
    };
    let ended = |mut program: Child| program.wait().expect("a child");
    assert!(ended(loser).success());
    wait_until("the port is known", || fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n')));
    let port = fs::read_to_string(&path).expect("the file").trim_end().to_string();
    let status = reqwest::blocking::get(format!("http://127.0.0.1:{port}/status")).expect("an answer").status();
    assert_eq!(status.as_u16(), 200);
    assert!(ended(winner).success(), "the hard time to live ends it");
    assert!(!path.exists());
}

#[test]
fn client_starts_the_program_itself() {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let params = StartServerParams {
        server_binary: Some(BINARY.into()),
        ttl: Some(Duration::from_secs(1)),
        ..StartServerParams::default()
    };
    let (mut child, url) = runtime.block_on(pocket_ic::start_server(params));
    let net = PocketIcBuilder::new().with_server_url(url).with_application_subnet().build();
    net.tick();
    drop(net);
    assert!(child.wait().expect("a child").success(), "the idle time to live ends it");
}
