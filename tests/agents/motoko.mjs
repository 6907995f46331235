// The Motoko of docs/other-languages.md: the canister as it is shown there, compiled, installed beside a router and called.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";

import { Actor } from "@icp-sdk/core/agent";
import { IDL } from "@icp-sdk/core/candid";
import motoko from "motoko";

import { router } from "./interfaces.mjs";
import { installer } from "./network.mjs";

const CANISTER_CYCLES = 10_000_000_000_000n;
const FILE = "Visitors.mo";

const require = createRequire(import.meta.url);

const outcome = IDL.Variant({ done: IDL.Null, notDone: IDL.Null, unknown: IDL.Null });
const visitors = () =>
  IDL.Service({
    remember: IDL.Func([IDL.Text, IDL.Text], [outcome], []),
    recall: IDL.Func([IDL.Text], [IDL.Opt(IDL.Text)], []),
  });

/** Compiles what the page shows; warnings are faults, too. */
async function compiled(root) {
  const page = await readFile(join(root, "docs/other-languages.md"), "utf8");
  const shown = [...page.matchAll(/^```motoko\n(.*?)^```$/gms)].map(([, code]) => code);
  assert.equal(shown.length, 1, "the page shows one canister");
  motoko.loadPackage(require("motoko/packages/latest/core.json"));
  motoko.write(FILE, shown[0]);
  assert.deepEqual(motoko.check(FILE), []);
  return motoko.wasm(FILE, "ic").wasm;
}

/** Has the canister store and read; `agent` administers the router. */
export async function check(root, network, routerId, agent) {
  const wasm = await compiled(root);
  const { create, install } = installer(network, agent);
  const id = await create(CANISTER_CYCLES);
  await install(id, wasm, IDL.encode([IDL.Principal], [routerId]));
  const service = Actor.createActor(visitors, { agent, canisterId: id });
  assert.deepEqual(await service.remember("page/visitor", "home"), { notDone: null }, "it has no role yet");
  const administered = Actor.createActor(router, { agent, canisterId: routerId });
  assert("Ok" in (await administered.grant({ grantee: [id], role: { Writer: null }, prefix: [] })));
  assert.deepEqual(await service.remember("page/visitor", "home"), { done: null });
  assert.deepEqual(await service.recall("page/visitor"), ["home"]);
  assert.deepEqual(await service.recall("page/nobody"), []);
  console.log("page: its Motoko compiles, stores and reads");
}
