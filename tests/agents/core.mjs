// What users of @icp-sdk/core do: deploy a router, put and get, with every check of the agent left on.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

import { Actor, CanisterStatus, HttpAgent } from "@icp-sdk/core/agent";
import { IDL } from "@icp-sdk/core/candid";
import { DelegationChain, DelegationIdentity, ECDSAKeyIdentity, Ed25519KeyIdentity } from "@icp-sdk/core/identity";
import { Secp256k1KeyIdentity } from "@icp-sdk/core/identity/secp256k1";

import { initArguments, router } from "./interfaces.mjs";
import { installer } from "./network.mjs";

const ROUTER_CYCLES = 100_000_000_000_000n;
const READY_MILLISECONDS_MAX = 60_000;
const POLL_MILLISECONDS = 200;

const bytes = (text) => new TextEncoder().encode(text);

async function agentOf(network, identity) {
  return HttpAgent.create({ host: network.gateway, identity, shouldFetchRootKey: true });
}

/** Makes one identity of each kind that signs, and one that signs for another. */
async function identities() {
  const ed25519 = Ed25519KeyIdentity.generate(new Uint8Array(32).fill(1));
  const session = Ed25519KeyIdentity.generate(new Uint8Array(32).fill(2));
  const inAnHour = new Date(Date.now() + 3_600_000);
  const chain = await DelegationChain.create(ed25519, session.getPublicKey(), inAnHour);
  return {
    ed25519,
    secp256k1: Secp256k1KeyIdentity.generate(new Uint8Array(32).fill(3)),
    p256: await ECDSAKeyIdentity.generate(),
    delegated: DelegationIdentity.fromDelegation(session, chain),
  };
}

/** Deploys a router whose writers are given, and waits until it serves. */
async function deploy(network, agent, wasm, writers) {
  const { create, install } = installer(network, agent);
  const id = await create(ROUTER_CYCLES);
  await install(id, await readFile(wasm), IDL.encode([initArguments], [{ writers: [writers] }]));
  const service = Actor.createActor(router, { agent, canisterId: id });
  const end = Date.now() + READY_MILLISECONDS_MAX;
  while (!(await service.status()).Ok.ready) {
    assert(Date.now() < end, "the router does not serve");
    await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
  }
  return id;
}

/** Puts and gets as one of the writers. */
async function putAndGet(service, name) {
  const [key, value] = [bytes(name), bytes(`value of ${name}`)];
  const { version } = (await service.put({ key, value })).Ok;
  for (const method of ["get", "get_query"]) {
    const [record] = (await service[method]({ key })).Ok;
    assert.deepEqual(Uint8Array.from(record.value), value, `${method} of ${name}`);
    assert.equal(record.version, version);
  }
  assert.deepEqual((await service.get({ key: bytes(`nothing of ${name}`) })).Ok, []);
}

/** Scans everything, in pages of two records. */
async function scan(service) {
  const found = [];
  let cursor = [];
  do {
    const page = (await service.scan({ cursor, records_max: [2] })).Ok;
    found.push(...page.records.map((record) => new TextDecoder().decode(Uint8Array.from(record.key))));
    cursor = page.cursor;
  } while (cursor.length > 0);
  return found.sort();
}

/** Checks what anyone can read of a canister, with certificates. */
async function readState(agent, id, controller) {
  const paths = ["time", "controllers", "subnet", "module_hash", "candid"];
  const state = await CanisterStatus.request({ canisterId: id, agent, paths });
  assert(Math.abs(state.get("time").getTime() - Date.now()) < 10_000, "time is the wall clock's");
  assert.deepEqual(state.get("controllers").map(String), [controller.toText()]);
  assert.equal(state.get("module_hash").length, 64);
  assert(state.get("subnet").nodeKeys.size >= 13, "nodes have keys");
  assert.match(state.get("candid"), /service/);
}

/** Checks all this; answers the router and who owns it, for what follows. */
export async function check(network, wasm) {
  const keys = await identities();
  const writers = Object.values(keys).map((identity) => identity.getPrincipal());
  const owner = await agentOf(network, keys.ed25519);
  const id = await deploy(network, owner, wasm, writers);
  for (const [name, identity] of Object.entries(keys)) {
    const agent = await agentOf(network, identity);
    await putAndGet(Actor.createActor(router, { agent, canisterId: id }), name);
    console.log(`core: ${name} puts and gets`);
  }
  const found = await scan(Actor.createActor(router, { agent: owner, canisterId: id }));
  assert.deepEqual(found, Object.keys(keys).sort());
  console.log("core: a scan finds what was put");
  await readState(owner, id, keys.ed25519.getPrincipal());
  console.log("core: certified state is read");
  const stranger = await agentOf(network, Ed25519KeyIdentity.generate());
  const service = Actor.createActor(router, { agent: stranger, canisterId: id });
  await assert.rejects(service.put({ key: bytes("k"), value: bytes("v") }), /IC0406/);
  console.log("core: a stranger is refused");
  return { id, identity: keys.ed25519, agent: owner };
}
