// A live simulator: the program itself, an instance whose time follows the wall clock, and a gateway to it.

import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Actor } from "@icp-sdk/core/agent";
import { Principal } from "@icp-sdk/core/principal";

import { management } from "./interfaces.mjs";

const START_MILLISECONDS_MAX = 20_000;
const POLL_MILLISECONDS = 20;

/** Starts a network with the kinds of subnets given; answers its URL and how to stop it. */
export async function startNetwork(root, subnets) {
  const folder = await mkdtemp(join(tmpdir(), "canopy-network-"));
  const portFile = join(folder, "port");
  const binary = join(root, "target/release/canopy-simulator");
  const program = spawn(binary, ["--port-file", portFile, "--ttl", "600"], { stdio: "ignore" });
  const failed = new Promise((_, reject) => {
    program.once("error", reject);
    program.once("exit", (code) => reject(new Error(`the simulator ended with ${code}`)));
  });
  failed.catch(() => {});
  const stop = async () => {
    program.kill();
    await rm(folder, { recursive: true });
  };
  try {
    const server = `http://127.0.0.1:${await Promise.race([portIn(portFile), failed])}`;
    const created = await createInstance(server, subnets);
    const gateway = `http://127.0.0.1:${created.http_gateway_info.port}`;
    const canisterId = Buffer.from(created.topology.default_effective_canister_id.canister_id, "base64");
    return { gateway, canisterId, isAlone: subnets.length === 1, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Answers how to create canisters, as networks without a cycles ledger allow, and how to install code in them. */
export function installer(network, agent) {
  const canisterId = Principal.managementCanister();
  const about = (effectiveCanisterId) =>
    Actor.createActor(management, { agent, canisterId, callTransform: () => ({ effectiveCanisterId }) });
  return {
    async create(cycles, settings = []) {
      const somewhere = about(Principal.fromUint8Array(network.canisterId));
      const created = await somewhere.provisional_create_canister_with_cycles({ amount: [cycles], settings });
      return created.canister_id;
    },
    async install(id, wasm, arg) {
      await about(id).install_code({ mode: { install: null }, canister_id: id, wasm_module: wasm, arg });
    },
  };
}

async function portIn(file) {
  const end = Date.now() + START_MILLISECONDS_MAX;
  while (Date.now() < end) {
    const text = await readFile(file, "utf8").catch(() => "");
    if (text.endsWith("\n")) return text.trim();
    await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
  }
  throw new Error(`the simulator has told no port after ${START_MILLISECONDS_MAX} ms`);
}

async function createInstance(server, subnets) {
  const subnet = { state_config: "New", instruction_config: "Production", subnet_admins: null };
  const response = await fetch(`${server}/instances`, {
    method: "POST",
    body: JSON.stringify({
      subnet_config_set: {
        nns: subnets.includes("nns") ? subnet : null,
        system: [],
        application: [subnet],
        verified_application: [],
      },
      initial_time: { AutoProgress: { artificial_delay_ms: null } },
      http_gateway_config: { ip_addr: null, port: null, domains: null, https_config: null },
    }),
  });
  const { Created: created, Error: refused } = await response.json();
  if (refused) throw new Error(refused.message);
  return created;
}
