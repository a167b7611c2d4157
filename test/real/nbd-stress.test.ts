/**
 * A kernel's ext4 on the server's disk under random operations on files (fsx) and on trees (as fsstress does). Whatever was done is
 * there after the file system was mounted anew over a new server, and e2fsck is content. `PINFOLD_SOAK_S` says how long.
 */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { loadLibc } from "../../src/stores/file/libc.js";
import { SeededRandom } from "../../src/testing/index.js";
import { Fsx } from "../fsx/fsx.js";
import { openKernelFile } from "../fsx/kernel-file.js";
import { TreeStress } from "../fsx/tree-stress.js";
import { scratchFolder } from "../nbd/fixture.js";
import { attach, missingTools, mounted } from "./kernel-disk.js";
import { run, soakFactor, startServing, Undo } from "./server-process.js";

const runMs = Math.max(5000, Math.round(12_000 * soakFactor));
const files = 2;
const trees = 3;

for (const { pageSize, flags } of [
  { pageSize: 4096, flags: [] },
  { pageSize: 65_536, flags: ["--direct"] },
]) {
  test(`fsx and stressed trees on an ext4 on the disk, pages of ${pageSize} bytes${flags.length > 0 ? ", O_DIRECT" : ""}: all is there after a restart`, async (t) => {
    if (missingTools(t)) return;
    const libc = loadLibc();
    if (libc === null) return t.skip("koffi did not load: no fallocate");
    const seed = Number(process.env["PINFOLD_SEED"] ?? process.pid * 7919);
    t.diagnostic(`PINFOLD_SEED=${seed}`);
    const random = new SeededRandom(seed);
    const undo = new Undo(t);
    const disk = join(scratchFolder(t), "disk");
    const memory = pageSize === 4096 ? "2MiB" : "8MiB";
    const first = await startServing(t, undo, [disk], { size: "96MiB", memory, pageSize, flags });
    const one = await attach(undo, first);
    await run("mkfs.ext4", ["-q", one.device]);
    const stressed: TreeStress[] = [];
    let operations = 0;
    await mounted(undo, one.device, async (directory) => {
      const untilMs = Date.now() + runMs;
      const ofFile = async (at: number): Promise<void> => {
        const file = await openKernelFile(libc, join(directory, `file-${at}`));
        const fsx = new Fsx(file, 3_000_000, new SeededRandom(random.below(2 ** 31)));
        for (; Date.now() < untilMs; operations++) await fsx.step();
        await fsx.finish();
        await file.close();
      };
      const ofTree = async (at: number): Promise<void> => {
        const folder = join(directory, `tree-${at}`);
        mkdirSync(folder);
        const tree = new TreeStress(folder, new SeededRandom(random.below(2 ** 31)));
        while (Date.now() < untilMs) await tree.step();
        tree.compare();
        stressed.push(tree);
      };
      const lanes = [
        ...Array.from({ length: files }, (_, at) => ofFile(at)),
        ...Array.from({ length: trees }, (_, at) => ofTree(at)),
      ];
      await Promise.all(lanes);
    });
    await run("e2fsck", ["-fn", one.device]);
    await one.detach();
    assert.deepEqual(await first.end(), { code: 0, signal: null }, first.stderr);

    const second = await startServing(t, undo, [disk], { memory: "8MiB" });
    const two = await attach(undo, second);
    await run("e2fsck", ["-fn", two.device]);
    const compared: number[] = [];
    await mounted(undo, two.device, async (directory) => {
      for (const tree of stressed) compared.push(tree.compareAt(directory));
    });
    await two.detach();
    assert.deepEqual(await second.end(), { code: 0, signal: null }, second.stderr);
    const steps = stressed.reduce((sum, tree) => sum + tree.steps, 0);
    t.diagnostic(`fsx ${operations} operations, trees ${steps} operations, ${compared.join(" + ")} files compared`);
    assert.ok(operations > 100 && steps > 100, "something was done");
  });
}
