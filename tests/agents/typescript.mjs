// The TypeScript of docs/other-languages.md: the code as it is shown there, with generated bindings, compiled and run.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";

const HERE = dirname(fileURLToPath(import.meta.url));
const COMMAND_MILLISECONDS_MAX = 120_000;

const run = promisify(execFile);

/** Compiles what the page shows, and answers the module. What it imports is found from a folder beside the packages. */
async function compiled(root, folder) {
  const page = await readFile(join(root, "docs/other-languages.md"), "utf8");
  const shown = [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code);
  assert.equal(shown.length, 1, "the page shows one program");
  await mkdir(join(folder, "src"));
  await writeFile(join(folder, "src/canopy.ts"), shown[0]);
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  const tool = (name, ...argv) =>
    run(join(HERE, "node_modules/.bin", name), argv, { cwd: folder, timeout: COMMAND_MILLISECONDS_MAX }).catch((error) => {
      throw new Error(`${name}: ${error.message}\n${error.stdout}`);
    });
  await tool("icp-bindgen", "--did-file", join(root, "router/router.did"), "--out-dir", "src/bindings");
  const options = ["--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"];
  await tool("tsc", ...options, "--lib", "es2022,dom", "--outDir", "out", "src/canopy.ts");
  // Plain JavaScript already, so the compiler leaves it where it is.
  await cp(join(folder, "src/bindings/declarations"), join(folder, "out/bindings/declarations"), { recursive: true });
  await nameFiles(join(folder, "out"));
  return import(pathToFileURL(join(folder, "out/canopy.js")));
}

/** Names the files in imports of one another, as Node wants it and bundlers don't. */
async function nameFiles(folder) {
  for (const entry of await readdir(folder, { recursive: true })) {
    if (!entry.endsWith(".js")) continue;
    const file = join(folder, entry);
    const code = await readFile(file, "utf8");
    await writeFile(file, code.replace(/(from ")(\.[^"]*?)(\.js)?(";)/g, "$1$2.js$4"));
  }
}

/** Stores, reads and lists with what the page shows, as a writer. */
export async function check(root, network, routerId, identity) {
  const folder = await mkdtemp(join(HERE, ".typescript-"));
  try {
    const { connect, remember, recall, keys, NotDone } = await compiled(root, folder);
    const router = await connect(network.gateway, routerId.toText(), identity);
    const first = await remember(router, "page/a", "hello");
    assert((await remember(router, "page/b", "world")) > 0n && first > 0n, "records have versions");
    assert((await remember(router, "page/a", "hello again")) > first, "versions grow");
    assert.equal(await recall(router, "page/a"), "hello again");
    assert.equal(await recall(router, "page/nothing"), null);
    const found = [];
    for await (const key of keys(router, "page/")) found.push(key);
    assert.deepEqual(found.sort(), ["page/a", "page/b"]);
    await assert.rejects(remember(router, "", "a key has a byte"), NotDone);
    console.log("page: its TypeScript compiles, stores, reads and lists");
  } finally {
    await rm(folder, { recursive: true });
  }
}
