// What users of `icp` do: connect to a network, build, link a canister, deploy, call.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { HttpAgent } from "@icp-sdk/core/agent";
import { Secp256k1KeyIdentity } from "@icp-sdk/core/identity/secp256k1";
import { Principal } from "@icp-sdk/core/principal";

import { installer } from "./network.mjs";

const ROUTER_CYCLES = 100_000_000_000_000n;
const COMMAND_MILLISECONDS_MAX = 900_000;
const READY_MILLISECONDS_MAX = 60_000;

const run = promisify(execFile);

/** Makes a project like this repository's, with the network in it and state of its own. */
async function makeProject(root, network) {
  const folder = await mkdtemp(join(tmpdir(), "canopy-icp-"));
  const project = join(folder, "project");
  const home = join(folder, "home");
  await Promise.all([mkdir(project), mkdir(home)]);
  const own = await readFile(join(root, "icp.yaml"), "utf8");
  // By itself, cargo compiles the package with fewer features than the workspace, and so builds both canisters again.
  const elsewhere = process.env.CANOPY_ARTIFACTS
    ? own.replaceAll(/cargo run .* --(?= )/g, `env '${process.env.CANOPY_ARTIFACTS}'`)
    : own.replaceAll("cargo run", `cargo run --manifest-path '${join(root, "Cargo.toml")}'`);
  assert.notEqual(elsewhere, own, "icp.yaml builds with cargo");
  // Its last section is the list of environments.
  const connected = `  - name: simulator
    network: simulator
    canisters: [router]
networks:
  - name: simulator
    mode: connected
    url: ${network.gateway}
    root-key: fetch
`;
  await writeFile(join(project, "icp.yaml"), elsewhere + connected);
  const icp = async (...argv) => {
    const options = { cwd: project, timeout: COMMAND_MILLISECONDS_MAX, env: { ...process.env, ICP_HOME: home, DO_NOT_TRACK: "1" } };
    const { stdout } = await run(process.env.ICP ?? "icp", argv, options);
    return stdout.trim();
  };
  return { icp, home, remove: () => rm(folder, { recursive: true }) };
}

export async function check(root, network) {
  const { icp, home, remove } = await makeProject(root, network);
  try {
    await icp("identity", "new", "tester", "--storage", "plaintext");
    const tester = Principal.fromText(await icp("identity", "principal", "--identity", "tester"));
    const target = ["-e", "simulator", "--identity", "tester"];
    const id = network.isAlone ? await createWith(icp) : await createFor(network, tester);
    await icp("canister", "link", "router", id.toText(), "-e", "simulator");
    await icp("deploy", "router", "--no-create", "--yes", ...target);
    console.log("icp: builds, links and deploys the router");
    await untilReady(() => icp("canister", "call", "router", "status", "()", "--query", ...target));
    const put = '(record { key = blob "greeting"; value = blob "hello" })';
    assert.match(await icp("canister", "call", "router", "put", put, ...target), /Ok/);
    const get = '(record { key = blob "greeting" })';
    for (const query of [[], ["--query"]]) {
      const method = query.length ? "get_query" : "get";
      assert.match(await icp("canister", "call", "router", method, get, ...query, ...target), /hello/);
    }
    // A page may be empty: it ends with its shard.
    let scanned = "";
    for (let cursor = ""; cursor !== undefined && !/greeting/.test(scanned); ) {
      scanned = await icp("canister", "call", "router", "scan", `(record { ${cursor} })`, ...target);
      cursor = scanned.match(/cursor = opt blob "[^"]*"/)?.[0];
    }
    assert.match(scanned, /greeting/);
    console.log("icp: puts, gets and scans");
    const pem = join(home, "tester.pem");
    await writeFile(pem, await icp("identity", "export", "tester"), { mode: 0o600 });
    const connection = ["--network", network.gateway, "--router", id.toText(), "--identity", pem];
    const canopy = async (...argv) => (await run(join(root, "target/release/canopy"), [...argv, ...connection])).stdout;
    assert.equal((await canopy("principal")).trim(), tester.toText());
    assert.equal(await canopy("get", "greeting"), "hello");
    console.log("canopy: takes the identity that icp exports");
    assert.match(await icp("canister", "status", "router", ...target), /[Rr]unning/);
    await icp("deploy", "router", "--no-create", "--yes", "--mode", "upgrade", ...target);
    await untilReady(() => icp("canister", "call", "router", "status", "()", "--query", ...target));
    assert.match(await icp("canister", "call", "router", "get", get, ...target), /hello/);
    console.log("icp: upgrades the router, which keeps its records");
  } finally {
    await remove();
  }
}

/** Creates an empty canister by a call of the management canister itself, which a subnet without a root answers. */
async function createWith(icp) {
  const argument = `(record { amount = opt (${ROUTER_CYCLES} : nat) })`;
  const call = ["canister", "call", "aaaaa-aa", "provisional_create_canister_with_cycles", argument];
  const reply = await icp(...call, "-n", "simulator", "--identity", "tester");
  return Principal.fromText(reply.match(/principal "([^"]*)"/)[1]);
}

/** Creates an empty canister, as networks without a cycles ledger allow, and gives it away. */
async function createFor(network, controller) {
  const identity = Secp256k1KeyIdentity.generate();
  const agent = await HttpAgent.create({ host: network.gateway, identity, shouldFetchRootKey: true });
  return installer(network, agent).create(ROUTER_CYCLES, [{ controllers: [[controller]] }]);
}

async function untilReady(status) {
  const end = Date.now() + READY_MILLISECONDS_MAX;
  while (!/ready = true/.test(await status())) {
    assert(Date.now() < end, "the router does not serve");
  }
}
