/** fio against `pinfold serve`: every block that it wrote is read back and its checksum compared. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { MiB } from "../../src/base/limits.js";
import { scratchFolder } from "../nbd/fixture.js";
import { has, overheadBytes, run, soakFactor, startServing, Undo } from "./server-process.js";

interface Load {
  readonly pageSize: number;
  readonly blockKibibytes: number;
  readonly jobs: number;
}

interface JobReport {
  readonly error: number;
  readonly read: { readonly iops: number; readonly total_ios: number };
  readonly write: { readonly iops: number; readonly total_ios: number };
}

async function fio(uri: string, folder: string, { blockKibibytes, jobs }: Load): Promise<JobReport[]> {
  const mebibytes = Math.max(8, Math.round((blockKibibytes === 4 ? 16 : 48) * soakFactor));
  const args = [
    ...["--name=v", "--ioengine=nbd", `--uri=${uri}`, "--output-format=json"],
    ...["--rw=randrw", `--bs=${blockKibibytes}k`, "--iodepth=32", `--size=${mebibytes}m`, `--numjobs=${jobs}`],
    // Each job has a part of the disk of its own: nobody else changes what it verifies.
    ...[`--offset_increment=${mebibytes}m`, "--verify=crc32c", "--verify_backlog=1024", "--verify_fatal=1"],
    "--randseed=20",
  ];
  const output = await run("fio", args, { cwd: folder, timeoutMs: 60_000 + 60_000 * soakFactor });
  return (JSON.parse(output.slice(output.indexOf("{"))) as { jobs: JobReport[] }).jobs;
}

/** Why fio cannot be used here, or undefined. */
async function withoutEngine(): Promise<string | undefined> {
  const output = await run("fio", ["--enghelp"]).catch(() => "");
  return /\bnbd\b/.test(output) ? undefined : "fio here has no nbd engine";
}

for (const pageSize of [4096, 65_536]) {
  for (const blockKibibytes of [4, 64]) {
    for (const jobs of [1, 4]) {
      const load = { pageSize, blockKibibytes, jobs };
      const who = jobs === 1 ? "one job" : `${jobs} jobs, each with a connection of its own`;
      test(`fio finds all it wrote: blocks of ${blockKibibytes} KiB at depth 32, ${who}, pages of ${pageSize} bytes`, async (t) => {
        if (!has(t, "fio")) return;
        const reason = await withoutEngine();
        if (reason !== undefined) return t.skip(reason);
        const folder = scratchFolder(t);
        const size = `${Math.max(256, Math.ceil(256 * soakFactor))}MiB`;
        const server = await startServing(t, new Undo(t), [join(folder, "disk")], { size, memory: "16MiB", pageSize });
        const reports = await fio(server.uri(), folder, load);
        assert.equal(reports.length, jobs);
        for (const report of reports) {
          assert.equal(report.error, 0);
          assert.ok(report.write.total_ios > 0 && report.read.total_ios > 0);
        }
        const sum = (kind: "read" | "write") =>
          Math.round(reports.reduce((total, report) => total + report[kind].iops, 0));
        const peak = server.peakBytes;
        t.diagnostic(`${sum("read")} reads/s, ${sum("write")} writes/s, peak memory ${(peak / MiB).toFixed(0)} MiB`);
        assert.ok(peak <= 16 * MiB + overheadBytes, `${peak} bytes at most`);
        assert.deepEqual(await server.end(), { code: 0, signal: null }, server.stderr);
        assert.doesNotMatch(server.stderr, /warning/i);
      });
    }
  }
}

test("under fio's load a cache of 256 MiB takes at most 100 MiB more", async (t) => {
  if (!has(t, "fio")) return;
  const reason = await withoutEngine();
  if (reason !== undefined) return t.skip(reason);
  const folder = scratchFolder(t);
  const server = await startServing(t, new Undo(t), [join(folder, "disk")], { size: "512MiB", memory: "256MiB" });
  for (const blockKibibytes of [64, 4]) await fio(server.uri(), folder, { pageSize: 4096, blockKibibytes, jobs: 4 });
  const peak = server.peakBytes;
  t.diagnostic(`peak memory ${(peak / MiB).toFixed(0)} MiB, of which 256 MiB of pages`);
  assert.ok(peak <= 256 * MiB + overheadBytes, `${peak} bytes`);
});
