/**
 * A full ext4: what was granted can be written, and what cannot be written is refused at the grant.
 */
import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { closeSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { FileStore } from "../../../src/stores/file/file-store.js";
import { alignedBytes, patternBytes } from "../../../src/testing/index.js";
import { leaveFree, missingForDisks, openSmallDisk, run, type SmallDisk } from "./loop-device.js";

const MiB = 1024 * 1024;
const block = 4096;
const missing = missingForDisks("mkfs.ext4", "fallocate");

describe("file store on a full ext4 of 48 MiB", { skip: missing ?? false }, () => {
  let disk: SmallDisk | undefined;
  after(() => disk?.close());
  const theDisk = (): SmallDisk =>
    (disk ??= openSmallDisk({ mebibytes: 48, mkfs: ["mkfs.ext4", "-q", "-b", "4096", "-m", "0"] }));

  for (const [how, direct, sync] of [
    ["buffered", false, false],
    ["buffered, sync calls", false, true],
    ["direct", true, false],
  ] as const) {
    it(`one block in each MiB gets at least 80% of the free blocks, and all that was granted can be written (${how})`, async () => {
      const { directory, freeBytes } = theDisk();
      const path = join(directory, "sparse");
      const store = await FileStore.open(path, { create: true, sizeBytes: 64 * 1024 * MiB, direct });
      try {
        const freeBlocks = Math.floor(freeBytes() / block);
        let granted = 0;
        const grantAll = async (): Promise<void> => {
          for (; granted < 64 * 1024; granted++) {
            const request = { position: granted * MiB, length: block, pageSize: block, blocks: new Uint32Array(1) };
            if (sync) store.pageMkwriteSync(request);
            else await store.pageMkwrite(request);
          }
        };
        await rejects(grantAll, { code: "ENOSPC" });
        ok(granted >= freeBlocks * 0.8, `${granted} of ${freeBlocks} free blocks were granted`);
        const buffer = alignedBytes(block);
        for (let i = 0; i < granted; i++) await store.writePages(i * MiB, [patternBytes(buffer, i * block)]);
        await store.sync({ data: false });
        strictEqual((await store.stat()).size, 64 * 1024 * MiB, "the size stays");
        const back = alignedBytes(block);
        for (let i = 0; i < granted; i++) {
          await store.readPages(i * MiB, [back]);
          strictEqual(Buffer.compare(back, patternBytes(buffer, i * block)), 0, `block ${i}`);
        }
      } finally {
        await store.close();
        rmSync(path);
      }
    });
  }

  it("a failed grant takes nothing, and other files can use the space", async () => {
    const { directory, freeBytes } = theDisk();
    const path = join(directory, "sparse");
    const store = await FileStore.open(path, { create: true, sizeBytes: 1024 * MiB });
    try {
      const before = freeBytes();
      const blocks = new Uint32Array(1024 * 256);
      for (const call of [
        () => store.pageMkwrite({ position: 0, length: 1024 * MiB, pageSize: block, blocks }),
        async () => store.pageMkwriteSync({ position: 0, length: 1024 * MiB, pageSize: block, blocks }),
      ]) {
        await rejects(
          async () => {
            await call();
          },
          { code: "ENOSPC" },
        );
        ok(
          blocks.every((word) => word === 0),
          "no word changed",
        );
        ok(before - freeBytes() <= 16 * block, `${before - freeBytes()} bytes are still taken`);
      }
    } finally {
      await store.close();
      rmSync(path);
    }
  });

  it("the zeros of the portable way take the space at the grant too", async () => {
    const mount = theDisk();
    const path = join(mount.directory, "portable");
    process.env["PINFOLD_NO_KOFFI"] = "1";
    try {
      const store = await FileStore.open(path, { create: true, sizeBytes: 64 * MiB });
      try {
        leaveFree(mount, 2 * MiB);
        const granted: number[] = [];
        const grantAll = async (): Promise<void> => {
          for (let position = 0; position < 64 * MiB; position += 2 * block) {
            await store.pageMkwrite({ position, length: block, pageSize: block, blocks: new Uint32Array(1) });
            granted.push(position);
          }
        };
        await rejects(grantAll, { code: "ENOSPC" });
        ok(granted.length * block >= 1 * MiB, `${granted.length} blocks were granted`);
        const buffer = alignedBytes(block);
        for (const position of granted) await store.writePages(position, [patternBytes(buffer, position)]);
        await store.sync({ data: false });
      } finally {
        await store.close();
        rmSync(path);
        rmSync(join(mount.directory, "ballast"), { force: true });
      }
    } finally {
      delete process.env["PINFOLD_NO_KOFFI"];
    }
  });
});

describe("file store on an ext4 with blocks of 1 KiB", { skip: missing ?? false }, () => {
  let disk: SmallDisk | undefined;
  after(() => disk?.close());

  it("a block that is mapped in part gets the rest, and a cancel punches nothing of it", async () => {
    disk = openSmallDisk({ mebibytes: 48, mkfs: ["mkfs.ext4", "-q", "-b", "1024", "-m", "0"] });
    const data = patternBytes(new Uint8Array(1024), 0);
    const within = (sectors: number, least: number, most: number): void =>
      ok(sectors >= least * 2 && sectors <= most * 2, `${sectors} sectors, expected ${least} to ${most} KiB`);
    for (const offset of [0, 1024, 3072]) {
      const position = 8 * block;
      const path = join(disk.directory, `part-${offset}`);
      writeFileSync(path, "");
      truncateSync(path, 64 * block);
      const fd = openSync(path, "r+");
      writeSync(fd, data, 0, 1024, position + offset);
      closeSync(fd);
      run("sync", "-f", disk.directory);
      const store = await FileStore.open(path);
      try {
        const before = (await store.stat()).blocks;
        const blocks = new Uint32Array(3);
        await store.pageMkwrite({ position: position - block, length: 3 * block, pageSize: block, blocks });
        deepStrictEqual([...blocks], [3, 1, 3], "neighbours were holes, this one was not");
        // Three blocks, less the part that was there; more than four extents take a block for the file system's own record.
        within((await store.stat()).blocks - before, 11, 12);
        for (let i = 0; i < 3; i++) store.cancelMkwrite(position + (i - 1) * block, block, blocks[i] as number);
        within((await store.stat()).blocks - before, 3, 4);
        const back = alignedBytes(block);
        await store.readPages(position, [back]);
        strictEqual(Buffer.compare(back.subarray(offset, offset + 1024), data), 0, "the data");
      } finally {
        await store.close();
      }
    }
  });
});
