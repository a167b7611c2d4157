/**
 * XFS with reflinks: a grant gives a file blocks of its own, so that a full disk cannot hit the write-back. And what a
 * forced shutdown (a power cut) leaves.
 */
import { ok, rejects, strictEqual } from "node:assert/strict";
import { readdirSync, rmSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { FileStore } from "../../../src/stores/file/file-store.js";
import { alignedBytes, patternBytes } from "../../../src/testing/index.js";
import { fillUp, leaveFree, missingForDisks, openSmallDisk, run, type SmallDisk } from "./loop-device.js";

const MiB = 1024 * 1024;
const block = 4096;
const missing = missingForDisks("mkfs.xfs", "xfs_io", "fallocate", "cp");

function wordsFor(length: number): Uint32Array {
  return new Uint32Array(length / block);
}

describe("file store on XFS with reflinks, 320 MiB", { skip: missing ?? false }, () => {
  let disk: SmallDisk | undefined;
  after(() => disk?.close());
  const theDisk = (): SmallDisk =>
    (disk ??= openSmallDisk({ mebibytes: 320, mkfs: ["mkfs.xfs", "-q", "-m", "reflink=1"] }));

  async function reflinked(name: string): Promise<{ original: string; copy: string; bytes: Uint8Array }> {
    const original = join(theDisk().directory, `${name}-original`);
    const copy = join(theDisk().directory, `${name}-copy`);
    const bytes = patternBytes(new Uint8Array(8 * MiB), 0);
    await writeFile(original, bytes);
    run("sync", "-f", theDisk().directory);
    run("cp", "--reflink=always", original, copy);
    return { original, copy, bytes };
  }

  for (const native of [true, false]) {
    it(`shared blocks that were granted can be written when the disk is full, and the original stays (${native ? "unshared" : "without koffi: written again"})`, async () => {
      const { original, copy, bytes } = await reflinked(`full-${native}`);
      if (!native) process.env["PINFOLD_NO_KOFFI"] = "1";
      const store = await FileStore.open(copy);
      try {
        strictEqual(store.capabilities.reserves, "data");
        const words = wordsFor(1 * MiB);
        await store.pageMkwrite({ position: 2 * MiB, length: 1 * MiB, pageSize: block, blocks: words });
        ok(
          words.every((word) => word === 1),
          "granted, and nothing that a cancel could punch",
        );
        fillUp(theDisk());
        const run2 = patternBytes(alignedBytes(1 * MiB), 2 * MiB, 9);
        await store.writePages(2 * MiB, [run2]);
        await store.sync({ data: true });
        // The disk is full indeed: shared blocks that nobody asked for cannot be written.
        const unasked = async (): Promise<void> => {
          await store.writePages(4 * MiB, [bytes.subarray(4 * MiB)]);
          await store.sync({ data: true });
        };
        await rejects(unasked, { code: "ENOSPC" });
        const got = await readFile(copy);
        strictEqual(Buffer.compare(got.subarray(2 * MiB, 3 * MiB), run2), 0, "written");
        strictEqual(Buffer.compare(got.subarray(0, 2 * MiB), bytes.subarray(0, 2 * MiB)), 0, "before it");
        strictEqual(Buffer.compare(got.subarray(3 * MiB, 4 * MiB), bytes.subarray(3 * MiB, 4 * MiB)), 0, "after it");
        strictEqual(Buffer.compare(await readFile(original), bytes), 0, "the original");
      } finally {
        delete process.env["PINFOLD_NO_KOFFI"];
        await store.close();
        for (const name of readdirSync(theDisk().directory)) rmSync(join(theDisk().directory, name));
      }
    });
  }

  it("a grant on shared blocks takes space, and on a full disk is ENOSPC with the contents as they were", async () => {
    const { original, copy, bytes } = await reflinked("refused");
    const store = await FileStore.open(copy);
    try {
      leaveFree(theDisk(), 1 * MiB);
      const words = wordsFor(8 * MiB);
      await rejects(
        async () => {
          await store.pageMkwrite({ position: 0, length: 8 * MiB, pageSize: block, blocks: words });
        },
        { code: "ENOSPC" },
      );
      ok(
        words.every((word) => word === 0),
        "no word changed",
      );
      strictEqual(Buffer.compare(await readFile(copy), bytes), 0, "the copy");
      strictEqual(Buffer.compare(await readFile(original), bytes), 0, "the original");
    } finally {
      await store.close();
      for (const path of [original, copy, join(theDisk().directory, "ballast")]) rmSync(path, { force: true });
    }
  });

  it("after a forced shutdown every sync fails, never only the first; what was synced before is there, size included", async () => {
    const path = join(theDisk().directory, "cut");
    const store = await FileStore.open(path, { create: true });
    const bytes = patternBytes(alignedBytes(1 * MiB), 0, 3);
    try {
      store.setSize(1 * MiB + 100);
      await store.pageMkwrite({ position: 0, length: 1 * MiB, pageSize: block, blocks: wordsFor(1 * MiB) });
      await store.writePages(0, [bytes]);
      await store.sync({ data: true });
      await store.writePages(0, [patternBytes(alignedBytes(block), 0, 4)]);
      store.setSize(2 * MiB);
      run("xfs_io", "-x", "-c", "shutdown", theDisk().directory);
      for (let i = 0; i < 3; i++) {
        await rejects(store.sync({ data: true }), { code: "EIO" });
        await rejects(store.sync({ data: false }), { code: "EIO" });
      }
    } finally {
      await store.close();
    }
    theDisk().remount();
    const got = await readFile(path);
    ok(got.length === 1 * MiB + 100 || got.length === 2 * MiB, `${got.length} bytes`);
    strictEqual(Buffer.compare(got.subarray(block, 1 * MiB), bytes.subarray(block)), 0, "synced bytes");
  });
});
