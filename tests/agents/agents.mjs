// Runs everything: node agents.mjs REPOSITORY ROUTER_WASM

import * as core from "./core.mjs";
import * as icp from "./icp.mjs";
import * as motoko from "./motoko.mjs";
import { startNetwork } from "./network.mjs";
import * as typescript from "./typescript.mjs";

const [root, wasm] = process.argv.slice(2);
// Once without delegations in certificates, once with.
for (const subnets of [["application"], ["nns", "application"]]) {
  const network = await startNetwork(root, subnets);
  try {
    console.log(`a network of ${subnets.join(" and ")}`);
    const { id, identity, agent } = await core.check(network, wasm);
    if (network.isAlone) {
      await typescript.check(root, network, id, identity);
      await motoko.check(root, network, id, agent);
    }
    await icp.check(root, network);
  } finally {
    await network.stop();
  }
}
console.log("everything holds");
process.exit(0);
