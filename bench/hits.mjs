/**
 * Resident random pages: pin + 8-byte load + put, beside fs.readSync of 4 KiB, in turn, several rounds, one process.
 *
 * node bench/hits.mjs [MiB] [rounds]     (after npm run build)
 * Prints nanoseconds an operation (median, least, most) and how many times faster than fs.readSync, round by round.
 */
import { closeSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PageCache } from "../build/src/index.js";
import { memory, offset, rawFile, tryPin, unpin } from "../build/src/api/raw.js";

const mebibytes = Number(process.argv[2] ?? 64);
const rounds = Number(process.argv[3] ?? 9);
const operations = 400_000;
const pageSize = 4096;
const pages = (mebibytes * 1024 * 1024) / pageSize;
const path = join(tmpdir(), `pinfold-hits-${process.pid}.bin`);

const cache = await PageCache.open({ memory: `${Math.ceil(mebibytes * 1.25)}MiB` });
const file = await cache.open(path, { create: true, size: pages * pageSize });
const block = Buffer.alloc(pageSize, 1);
for (let page = 0; page < pages; page++) await file.write(block, 0, pageSize, page * pageSize);
await file.sync();
const raw = rawFile(file);
const descriptor = openSync(path, "r");
const order = new Uint32Array(operations).map(() => Math.floor(Math.random() * pages));
const whole = new Float64Array(pages * 512).fill(1);
let sum = 0;

const contestants = {
  "fs.readSync 4 KiB": (count) => {
    for (let i = 0; i < count; i++) {
      readSync(descriptor, block, 0, pageSize, order[i] * pageSize);
      sum += block[0];
    }
  },
  "pinfold/raw": (count) => {
    for (let i = 0; i < count; i++) {
      const frame = tryPin(raw, order[i], false);
      const bytes = memory(raw, frame);
      sum += bytes[offset(raw, frame)];
      unpin(raw, frame);
    }
  },
  tryGetUserPages: (count) => {
    for (let i = 0; i < count; i++) {
      const pinned = file.tryGetUserPages(order[i] * pageSize, 8);
      sum += pinned.bytes[0];
      pinned.put();
    }
  },
  "tryRead 4 KiB": (count) => {
    for (let i = 0; i < count; i++) {
      file.tryRead(block, order[i] * pageSize);
      sum += block[0];
    }
  },
  "raw typed-array load": (count) => {
    for (let i = 0; i < count; i++) sum += whole[order[i] * 512];
  },
};

const counts = { "fs.readSync 4 KiB": operations / 4, "tryRead 4 KiB": operations / 2 };
const results = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]));
for (const run of Object.values(contestants)) run(operations / 8);
for (let round = 0; round < rounds; round++) {
  for (const [name, run] of Object.entries(contestants)) {
    const count = counts[name] ?? operations;
    const start = performance.now();
    run(count);
    results[name].push(((performance.now() - start) * 1e6) / count);
  }
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const base = results["fs.readSync 4 KiB"];
console.log(`node ${process.version}, ${mebibytes} MiB resident, ${rounds} rounds, ns an operation`);
for (const [name, values] of Object.entries(results)) {
  const ratio = median(values.map((value, i) => base[i] / value));
  const spread = `${Math.min(...values).toFixed(0)} to ${Math.max(...values).toFixed(0)}`;
  console.log(`${name.padEnd(22)} ${median(values).toFixed(0).padStart(6)}  (${spread})  ${ratio.toFixed(1)} times`);
}
if (sum === 0) throw new Error("nothing was read");
await file.close();
await cache.close();
closeSync(descriptor);
rmSync(path);
