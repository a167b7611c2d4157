/** Checksums of files: where they are kept, who uses them, what a user is told, and what `pinfold verify` prints. */
import { deepStrictEqual, equal, match, ok, rejects } from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  openSync,
  closeSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { PageCache } from "../../../src/index.js";

const page = 4096;
const main = new URL("../../../src/cli/main.js", import.meta.url).pathname;

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "pinfold-sums-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

async function cacheFor(t: TestContext): Promise<PageCache> {
  const cache = await PageCache.open({ memory: "4MiB" });
  t.after(() => cache.close());
  return cache;
}

function pinfold(...words: string[]): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...words], { encoding: "utf8" });
  return { status, out: stdout, err: stderr };
}

/** A file of 300 pages with checksums, closed well. */
async function written(t: TestContext): Promise<string> {
  const path = join(directory(t), "data.img");
  const cache = await PageCache.open({ memory: "4MiB" });
  const file = await cache.open(path, { create: true, checksums: true });
  for (let i = 0; i < 300; i++) await file.write(Buffer.alloc(page, i), 0, page, i * page);
  await file.write(Buffer.from("the end"), 0, 7, 300 * page);
  equal(file.capabilities.checksums, true);
  await cache.close();
  return path;
}

function damage(path: string, position: number, text = "XX"): void {
  const fd = openSync(path, "r+");
  writeSync(fd, text, position);
  closeSync(fd);
}

test("checksums are used wherever they are there; damage is an error of the read", async (t) => {
  const path = await written(t);
  damage(path, 17 * page + 5);
  const cache = await cacheFor(t);
  const file = await cache.open(path);
  equal(file.capabilities.checksums, true);
  await rejects(file.read(Buffer.alloc(page), 0, page, 17 * page), { code: "ERR_PINFOLD_CHECKSUM" });
  const { buffer } = await file.read(Buffer.alloc(7), 0, 7, 300 * page);
  equal(buffer.toString(), "the end");
  await rejects(cache.open(path, { checksums: false }), { code: "EINVAL" });
  const again = await cache.open(path, { checksums: true });
  await again.close();
});

test("a change without them is refused while they are there, a look is not", async (t) => {
  const path = await written(t);
  const cache = await cacheFor(t);
  await rejects(cache.open(path, { checksums: false }), { code: "EINVAL" });
  const file = await cache.open(path, { checksums: false, readOnly: true });
  ok(!file.capabilities.checksums);
  await rejects(cache.open(path, { checksums: true, readOnly: true }), { code: "EINVAL" });
});

test("a file with data and without checksums gets none by the way, and nothing is left behind", async (t) => {
  const path = join(directory(t), "old.img");
  writeFileSync(path, Buffer.alloc(3 * page, 7));
  const cache = await cacheFor(t);
  await rejects(cache.open(path, { checksums: true }), { code: "ERR_PINFOLD_CHECKSUM" });
  ok(!existsSync(`${path}.sums`));
  deepStrictEqual(readFileSync(path), Buffer.alloc(3 * page, 7));
  equal(pinfold("verify", "--rebuild", path).status, 0);
  const file = await cache.open(path, { readOnly: true });
  equal(file.capabilities.checksums, true);
  const { buffer } = await file.read(Buffer.alloc(page), 0, page, page);
  equal(buffer[0], 7);
});

test("a place of their own; wrong options are told apart", async (t) => {
  const folder = directory(t);
  const cache = await cacheFor(t);
  const sums = join(folder, "elsewhere");
  const file = await cache.open(join(folder, "data"), { create: true, size: "1MiB", checksums: sums });
  await file.write(Buffer.alloc(page, 3), 0, page, 0);
  await file.close();
  ok(existsSync(sums) && !existsSync(join(folder, "data.sums")));
  equal(pinfold("verify", join(folder, "data"), "--sums", sums).status, 0);
  for (const checksums of [1, "", null] as never[])
    await rejects(cache.open(join(folder, "data"), { checksums }), { code: "EINVAL" });
  await rejects(cache.open(join(folder, "nowhere"), { checksums: true }), { code: "ENOENT" });
});

test("a new file whose checksums cannot be made is not made either", async (t) => {
  const folder = directory(t);
  const cache = await cacheFor(t);
  const path = join(folder, "data");
  await rejects(cache.open(path, { create: true, checksums: join(folder, "no", "such") }), { code: /ENOENT|CHECKSUM/ });
  ok(!existsSync(path));
});

test("two files do not get the same place for their checksums, nor is it the file itself", async (t) => {
  const folder = directory(t);
  const cache = await cacheFor(t);
  const [path, sums] = [join(folder, "data"), join(folder, "sums")];
  const file = await cache.open(path, { create: true, size: "1MiB", checksums: sums });
  await rejects(cache.open(join(folder, "other"), { create: true, checksums: sums }), { code: "EBUSY" });
  ok(!existsSync(join(folder, "other")));
  await file.write(Buffer.alloc(page, 3), 0, page, 0);
  await file.close();
  equal(pinfold("verify", path, "--sums", sums).status, 0);
  await rejects(cache.open(path, { checksums: `${folder}/./data` }), { code: "EINVAL" });
});

test("a file that somebody else has emptied is not new: what its checksums tell of is lost", async (t) => {
  const path = await written(t);
  truncateSync(path, 0);
  const cache = await cacheFor(t);
  const file = await cache.open(path);
  await file.write(Buffer.alloc(page, 5), 0, page, 9 * page);
  await rejects(file.read(Buffer.alloc(page), 0, page, 8 * page), { code: "ERR_PINFOLD_CHECKSUM" });
  await file.close();
  match(pinfold("verify", path).out, /bytes 4096 to 36863 .*: lost/);
  // One that is not there any more is.
  rmSync(path);
  const anew = await cache.open(path, { create: true });
  equal(anew.capabilities.checksums, true);
  await anew.write(Buffer.alloc(page, 6), 0, page, 9 * page);
  equal((await anew.read(Buffer.alloc(page), 0, page, 8 * page)).buffer[0], 0);
  await anew.close();
  equal(pinfold("verify", path).status, 0);
});

test("verify prints what is wrong where, and its status says so", async (t) => {
  const path = await written(t);
  const well = pinfold("verify", path);
  deepStrictEqual([well.status, well.out], [0, `pinfold: ${path}: 1.17 MiB: as written\n`]);
  damage(path, 17 * page + 5);
  damage(path, 18 * page + 5);
  damage(path, 40 * page, "\0".repeat(page));
  truncateSync(path, 299 * page);
  const { status, out } = pinfold("verify", path);
  equal(status, 1);
  match(out, new RegExp(`bytes ${17 * page} to ${19 * page - 1} \\(8.00 KiB\\): changed`));
  match(out, new RegExp(`bytes ${40 * page} to ${41 * page - 1} .*: lost: zeros`));
  match(out, new RegExp(`bytes ${299 * page} to ${301 * page - 1} .*: lost`));
  const report = JSON.parse(pinfold("verify", path, "--json").out) as { wrongBytes: number; findings: unknown[] };
  equal(report.wrongBytes, 5 * page);
  equal(report.findings.length, 3);
});

test("verify tells a damaged checksum from damaged data, and what it lacks", async (t) => {
  const path = await written(t);
  // The first sector of the table: two pages of headers and the log come before it.
  damage(`${path}.sums`, 2 * page + 2 * 1024 * 1024 + 100);
  const { status, out } = pinfold("verify", path);
  equal(status, 1);
  match(out, /bytes 0 to 520191 .*: unknown: the checksum is damaged/);
  damage(`${path}.sums`, 0, "X".repeat(2 * page));
  match(pinfold("verify", path).err, /ERR_PINFOLD_CHECKSUM: .* checksums that are not whole/);
  rmSync(`${path}.sums`);
  match(pinfold("verify", path).err, /ERR_PINFOLD_CHECKSUM: there are no checksums in /);
  equal(pinfold("verify", join(path, "nothing")).status, 1);
});

test("verify keeps out of a file that somebody has open to write", async (t) => {
  const path = await written(t);
  const cache = await cacheFor(t);
  await cache.open(path);
  match(pinfold("verify", path).err, /EBUSY/);
  match(pinfold("verify", "--rebuild", path).err, /EBUSY/);
});

test("a process that is killed leaves checksums that the next one goes on with", async (t) => {
  const path = join(directory(t), "data");
  const script = `
    import { PageCache } from ${JSON.stringify(new URL("../../../src/index.js", import.meta.url).href)};
    const cache = await PageCache.open({ memory: "4MiB" });
    const file = await cache.open(${JSON.stringify(path)}, { create: true, checksums: true });
    for (let i = 0; i < 2000; i++) {
      await file.write(Buffer.alloc(4096, i), 0, 4096, (i * 7 % 300) * 4096);
      if (i % 50 === 49) await file.sync();
      if (i === 1990) process.kill(process.pid, "SIGKILL");
    }`;
  await rejects(promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]), { signal: "SIGKILL" });
  equal(pinfold("verify", path).status, 0);
  const cache = await cacheFor(t);
  const file = await cache.open(path);
  await file.read(Buffer.alloc(300 * page), 0, 300 * page, 0);
  await file.close();
  deepStrictEqual(pinfold("verify", path).out, `pinfold: ${path}: 1.17 MiB: as written\n`);
});

test("other threads read and write a file with checksums through the thread that has it", async (t) => {
  const path = await written(t);
  const cache = await cacheFor(t);
  const file = await cache.open(path);
  const { Worker } = await import("node:worker_threads");
  const code = `
    const { workerData, parentPort } = require("node:worker_threads");
    import(workerData.index).then(async ({ PageCache }) => {
      const cache = await PageCache.attach(workerData.share);
      const file = await cache.open(workerData.path);
      const { buffer } = await file.read(Buffer.alloc(4096), 0, 4096, 9 * 4096);
      await file.write(Buffer.alloc(4096, 99), 0, 4096, 9 * 4096);
      await file.sync();
      await cache.close();
      parentPort.postMessage(buffer[0]);
    });`;
  const index = new URL("../../../src/index.js", import.meta.url).href;
  const worker = new Worker(code, { eval: true, workerData: { index, share: cache.share(), path } });
  const first = await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  await worker.terminate();
  equal(first, 9);
  file.invalidate(0, 300 * page);
  const { buffer } = await file.read(Buffer.alloc(page), 0, page, 9 * page);
  equal(buffer[0], 99);
});
