/**
 * Mapped views over resident random pages: loads and stores of 8 bytes beside those of a plain typed array, and the first
 * store to a clean page whose space is allocated, in turn, several rounds, one process for each build of the views.
 *
 * node bench/views.mjs [MiB] [rounds]     (after npm run build)
 * Prints nanoseconds an operation (median, least, most) and how many times as long as the plain array takes, round by round.
 * The second table is of the build with atomic operations, which threads use where membarrier cannot be called.
 */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PageCache } from "../build/src/index.js";

const mebibytes = Number(process.argv[2] ?? 64);
const rounds = Number(process.argv[3] ?? 9);
const operations = 400_000;
const pageSize = 4096;
const pages = (mebibytes * 1024 * 1024) / pageSize;
const firstStores = Math.min(2_048, Math.floor(pages / 8));
const path = join(tmpdir(), `pinfold-views-${process.pid}.bin`);

const cache = await PageCache.open({ memory: `${Math.ceil(mebibytes * 1.25)}MiB`, writebackIntervalMs: 86_400_000 });
const file = await cache.open(path, { create: true, size: pages * pageSize });
const block = Buffer.alloc(pageSize, 1);
for (let page = 0; page < pages; page++) await file.write(block, 0, pageSize, page * pageSize);
await file.sync();
const view = file.map();
const order = new Uint32Array(operations).map(() => Math.floor(Math.random() * pages) * 512);
const near = new Uint32Array(operations).map(() => Math.floor(Math.random() * firstStores) * 512);
const whole = new Float64Array(pages * 512).fill(1);
let sum = 0;

const contestants = {
  "typed-array load": (count) => {
    for (let i = 0; i < count; i++) sum += whole[order[i]];
  },
  "view load": (count) => {
    for (let i = 0; i < count; i++) sum += view.getFloat64(order[i] * 8, true);
  },
  "first store": (count) => {
    for (let i = 0; i < count; i++) view.setFloat64(i * pageSize, i, true);
  },
  "typed-array store": (count) => {
    for (let i = 0; i < count; i++) whole[near[i]] = i;
  },
  "later view store": (count) => {
    for (let i = 0; i < count; i++) view.setFloat64(near[i] * 8, i, true);
  },
};
const counts = { "first store": firstStores };
const bases = { "view load": "typed-array load", "later view store": "typed-array store" };

const results = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]));
for (let warmUp = 0; warmUp < 3; warmUp++) {
  for (const [name, run] of Object.entries(contestants)) run(counts[name] ?? operations / 4);
  await file.sync();
}
for (let round = 0; round < rounds; round++) {
  for (const [name, run] of Object.entries(contestants)) {
    const count = counts[name] ?? operations;
    const start = performance.now();
    run(count);
    results[name].push(((performance.now() - start) * 1e6) / count);
  }
  await file.sync();
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const build = cache.core.frames.hasPlainViews ? "plain accesses and membarrier" : "atomic operations";
console.log(`node ${process.version}, ${mebibytes} MiB resident, ${rounds} rounds, ns an operation: ${build}`);
for (const [name, values] of Object.entries(results)) {
  const base = bases[name];
  const ratio =
    base === undefined ? "" : `${median(values.map((value, i) => value / results[base][i])).toFixed(1)} times`;
  const spread = `(${Math.min(...values).toFixed(0)} to ${Math.max(...values).toFixed(0)})`;
  console.log(`${name.padEnd(18)} ${median(values).toFixed(0).padStart(6)}  ${spread.padEnd(16)} ${ratio}`);
}
if (sum === 0) throw new Error("nothing was read");
await file.close();
await cache.close();
rmSync(path);
if (process.env.PINFOLD_ATOMIC_VIEWS !== "1") {
  const env = { ...process.env, PINFOLD_ATOMIC_VIEWS: "1" };
  spawnSync(process.execPath, [import.meta.filename, String(mebibytes), String(rounds)], { env, stdio: "inherit" });
}
