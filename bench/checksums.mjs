/**
 * What checksums cost: the same work on two files, with and without them, by turns, in one process.
 *
 *     node bench/checksums.mjs [--rounds 7] [--dir DIRECTORY]
 *
 * Each figure is the median of the rounds, and the ratio is the median of each round's own. The kernel has the files in its cache.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { PageCache } from "../build/src/index.js";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "7" }, dir: { type: "string" } } });
const rounds = Number(values.rounds);
const directory = mkdtempSync(join(values.dir ?? tmpdir(), "pinfold-checksums-"));
const page = 4096;
const fileBytes = 256 * 1024 * 1024;
const pages = fileBytes / page;

/** A permutation of the pages, another one for each round. */
const scattered = (i, round) => ((i * 40_503 + round * 7_919) * 2 + 1) % pages;

const buffer = Buffer.alloc(page);
const big = Buffer.alloc(1024 * 1024);

/** What is measured: operations, and milliseconds of one round. */
const works = {
  "hit: readSync of 4 KiB": async (file) => {
    file.readSync(buffer, 0, page, 0);
    return measure(20_000, () => file.readSync(buffer, 0, page, 0));
  },
  "miss: readSync of 4 KiB, random": async (file, cache, round) => {
    return measure(4_000, (i) => file.readSync(buffer, 0, page, scattered(i, round) * page));
  },
  "miss: read of 4 KiB, random, 32 at once": (file, _cache, round) =>
    many(4_000, 32, (i) => file.read(Buffer.allocUnsafe(page), 0, page, scattered(i + 20_000, round) * page)),
  "sequential read, 1 MiB at a time": (file) =>
    many(fileBytes / big.length, 1, (i) => file.read(big, 0, big.length, i * big.length)),
  "sync of 1,000 random dirty pages": async (file, _cache, round) => {
    for (let i = 0; i < 1_000; i++) await file.write(buffer, 0, page, scattered(i, round) * page);
    const began = performance.now();
    await file.sync();
    return { ms: performance.now() - began, count: 1 };
  },
  "write and sync of 64 MiB, 1 MiB at a time": async (file, _cache, round) => {
    big.fill(round + 1);
    const began = performance.now();
    for (let i = 0; i < 64; i++) await file.write(big, 0, big.length, i * big.length);
    await file.sync();
    return { ms: performance.now() - began, count: 64 };
  },
  "write of 4 KiB and sync, one by one": (file, _cache, round) =>
    many(100, 1, async (i) => {
      await file.write(buffer, 0, page, scattered(i, round) * page);
      await file.sync();
    }),
};

function measure(count, work) {
  const began = performance.now();
  for (let i = 0; i < count; i++) work(i);
  return { ms: performance.now() - began, count };
}

async function many(count, depth, work) {
  const began = performance.now();
  let next = 0;
  const lane = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: depth }, lane));
  return { ms: performance.now() - began, count };
}

const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];

const results = Object.fromEntries(Object.keys(works).map((name) => [name, { off: [], on: [] }]));
// 64 MiB: what is read at random is mostly not there.
const cache = await PageCache.open({ memory: "64MiB" });
const files = {};
try {
  for (const [name, checksums] of [
    ["off", false],
    ["on", true],
  ]) {
    files[name] = await cache.open(join(directory, name), { create: true, size: fileBytes, checksums });
    for (let at = 0; at < fileBytes; at += big.length)
      await files[name].write(big.fill(at / big.length), 0, big.length, at);
    await files[name].sync();
  }
  for (let round = 0; round <= rounds; round++) {
    for (const [name, work] of Object.entries(works)) {
      for (const side of round % 2 === 0 ? ["off", "on"] : ["on", "off"]) {
        const { ms, count } = await work(files[side], cache, round);
        // The first round warms up.
        if (round > 0) results[name][side].push((ms * 1000) / count);
      }
    }
  }
} finally {
  for (const file of Object.values(files)) await file.close();
  await cache.close();
  rmSync(directory, { recursive: true });
}
console.log(
  `${cpus()[0]?.model ?? "?"} x ${cpus().length}, Node ${process.version}, ${rounds} rounds, microseconds an operation`,
);
console.log("| what | without | with | ratio |\n| --- | --- | --- | --- |");
for (const [name, { off, on }] of Object.entries(results)) {
  const ratio = median(on.map((value, i) => value / off[i]));
  console.log(`| ${name} | ${median(off).toFixed(1)} | ${median(on).toFixed(1)} | ${ratio.toFixed(2)} |`);
}
