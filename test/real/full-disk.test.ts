/** Disks that run full under a server, and disks whose files are special: reflinks, O_DIRECT with a size of no whole block. Root only. */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { MiB } from "../../src/base/limits.js";
import { PageCache } from "../../src/index.js";
import { replyError } from "../../src/nbd/protocol.js";
import type { NbdClient } from "../nbd/client.js";
import { pattern } from "../nbd/fixture.js";
import { fillUp, missingForDisks, openSmallDisk, run as runNow, type SmallDisk } from "../stores/file/loop-device.js";
import { startServing, Undo } from "./server-process.js";

const ext4 = { mebibytes: 48, mkfs: ["mkfs.ext4", "-q", "-b", "4096", "-m", "0"] } as const;
const page = 4096;

function smallDisk(
  t: TestContext,
  undo: Undo,
  options: { mebibytes: number; mkfs: readonly string[] },
): SmallDisk | undefined {
  const missing = missingForDisks(options.mkfs[0] as string, "fallocate");
  if (missing !== null) {
    t.skip(missing);
    return undefined;
  }
  const disk = openSmallDisk(options);
  undo.add(() => disk.close());
  return disk;
}

/** Writes a block in each piece of the disk until one is refused; how many were taken, and the refusal's number. */
async function writeUntilRefused(
  client: NbdClient,
  from: number,
  to: number,
): Promise<{ taken: number; number: number | undefined }> {
  for (let taken = 0; from + taken * MiB < to; taken++) {
    try {
      await client.write(from + taken * MiB, pattern(256 * 1024, taken));
    } catch (error) {
      return { taken, number: (error as { number?: number }).number };
    }
  }
  return { taken: Math.floor((to - from) / MiB), number: undefined };
}

test("a full disk: the writer gets ENOSPC, the server stays, flushed data is whole, and it goes on once there is space", async (t) => {
  const undo = new Undo(t);
  const disk = smallDisk(t, undo, ext4);
  if (disk === undefined) return;
  const filler = join(disk.directory, "filler");
  runNow("fallocate", "-l", String(8 * MiB), filler);
  const path = join(disk.directory, "disk");
  const server = await startServing(t, undo, [path], { size: "1GiB", memory: "8MiB" });
  const client = await server.client();
  undo.add(() => client.destroy());
  const first = pattern(4 * MiB, 99);
  await client.write(0, first);
  await client.flush();
  const { taken, number } = await writeUntilRefused(client, 8 * MiB, 1024 * MiB);
  assert.equal(number, replyError.ENOSPC, "ENOSPC, not another error");
  assert.ok(taken * 256 * 1024 > 20 * MiB, `${taken} pieces of 256 KiB were taken`);
  const again = await client.write(900 * MiB, pattern(MiB)).catch((error: { number?: number }) => error.number);
  assert.equal(again, replyError.ENOSPC, "and again");
  // What has space already can be written; what was taken can be flushed, though the disk is full.
  await client.write(8 * MiB, pattern(256 * 1024, 1000));
  await client.flush();
  assert.ok(first.equals(await client.read(0, first.length)), "flushed data");
  for (let at = 1; at < taken; at++) {
    assert.ok(pattern(256 * 1024, at).equals(await client.read((8 + at) * MiB, 256 * 1024)), `piece ${at}`);
  }
  rmSync(filler);
  await client.write(900 * MiB, pattern(2 * MiB, 5));
  await client.flush();
  assert.ok(pattern(2 * MiB, 5).equals(await client.read(900 * MiB, 2 * MiB)), "written after space was freed");
  // TRIM gives space back, too.
  fillUp(disk, "more");
  const refused = await client.write(950 * MiB, pattern(MiB)).catch((error: { number?: number }) => error.number);
  assert.equal(refused, replyError.ENOSPC);
  await client.trim(900 * MiB, 2 * MiB);
  await client.write(950 * MiB, pattern(MiB, 6));
  await client.flush();
  assert.deepEqual(await server.end(), { code: 0, signal: null }, server.stderr);
  assert.match(server.stderr, /ENOSPC/, "it is said");
  const bytes = await readFile(path);
  assert.equal(bytes.length, 1024 * MiB, "the size stays");
  assert.ok(first.equals(bytes.subarray(0, first.length)));
  assert.ok(pattern(MiB, 6).equals(bytes.subarray(950 * MiB, 951 * MiB)));
});

test("pages dirtied one a MiB in a sparse file get at least 80% of the free blocks before ENOSPC, and all of them are durable", async (t) => {
  const undo = new Undo(t);
  const disk = smallDisk(t, undo, ext4);
  if (disk === undefined) return;
  const cache = await PageCache.open({ memory: "8MiB" });
  undo.add(() => cache.close({ discard: true }));
  const file = await cache.open(join(disk.directory, "sparse"), { create: true, size: 64 * 1024 * MiB });
  const freePages = Math.floor(disk.freeBytes() / page);
  let dirtied = 0;
  const dirtyAll = async (): Promise<void> => {
    for (; dirtied < 64 * 1024; dirtied++) {
      const pages = await file.getUserPages(dirtied * MiB, page, { write: true });
      for (const { bytes } of pages) bytes.fill(dirtied & 0xff || 1);
      pages.put();
    }
  };
  await assert.rejects(dirtyAll, { code: "ENOSPC" });
  t.diagnostic(`${dirtied} of ${freePages} free pages`);
  assert.ok(dirtied >= freePages * 0.8, `${dirtied} of ${freePages}`);
  await file.sync();
  const buffer = Buffer.alloc(page);
  for (let at = 0; at < dirtied; at++) {
    await file.read(buffer, 0, page, at * MiB);
    assert.ok(buffer.equals(Buffer.alloc(page, at & 0xff || 1)), `page ${at}`);
  }
  cache.verify({ quiesce: true });
});

test("a reflinked file is written without a trace in its original, and a full disk refuses the write and not the flush", async (t) => {
  const missing = missingForDisks("mkfs.xfs", "cp");
  if (missing !== null) return t.skip(missing);
  const undo = new Undo(t);
  const disk = smallDisk(t, undo, { mebibytes: 320, mkfs: ["mkfs.xfs", "-q", "-m", "reflink=1"] });
  if (disk === undefined) return;
  const original = join(disk.directory, "original");
  const copy = join(disk.directory, "copy");
  const bytes = pattern(32 * MiB, 3);
  await writeFile(original, bytes);
  runNow("sync", "-f", disk.directory);
  runNow("cp", "--reflink=always", original, copy);
  const server = await startServing(t, undo, [copy], { memory: "8MiB" });
  const client = await server.client();
  undo.add(() => client.destroy());
  await client.write(MiB + 1000, pattern(5000, 7));
  await client.flush();
  fillUp(disk);
  let taken = 0;
  let number: number | undefined;
  for (; number === undefined && taken < 32; taken++) {
    number = await client.write(taken * MiB, pattern(512 * 1024, taken)).then(
      () => undefined,
      (error: { number?: number }) => error.number ?? -1,
    );
  }
  assert.equal(number, replyError.ENOSPC, `refused at piece ${taken}`);
  await client.flush();
  for (let at = 0; at < taken - 1; at++) {
    assert.ok(pattern(512 * 1024, at).equals(await client.read(at * MiB, 512 * 1024)), `piece ${at}`);
  }
  assert.deepEqual(await server.end(), { code: 0, signal: null }, server.stderr);
  assert.ok(bytes.equals(await readFile(original)), "the original");
  assert.ok(bytes.subarray(24 * MiB).equals((await readFile(copy)).subarray(24 * MiB)), "what was not written");
});

test("O_DIRECT on ext4 with a size that is no multiple of 4096: every byte, up to the last", async (t) => {
  const undo = new Undo(t);
  const disk = smallDisk(t, undo, ext4);
  if (disk === undefined) return;
  const path = join(disk.directory, "odd");
  const size = 8 * MiB + 1234;
  await writeFile(path, "");
  await truncate(path, size);
  const server = await startServing(t, undo, [path], { memory: "1MiB", flags: ["--direct"] });
  const client = await server.client();
  undo.add(() => client.destroy());
  assert.equal(client.sizeBytes, size);
  const whole = pattern(size, 11);
  for (let at = 0; at < size; at += MiB) await client.write(at, whole.subarray(at, Math.min(size, at + MiB)));
  await client.write(size - 100, pattern(100, 12), { fua: true });
  pattern(100, 12).copy(whole, size - 100);
  await client.writeZeroes(size - 5000, 1000);
  whole.fill(0, size - 5000, size - 4000);
  for (let at = 0; at < size; at += MiB) {
    const length = Math.min(MiB, size - at);
    assert.ok(whole.subarray(at, at + length).equals(await client.read(at, length)), `at ${at}`);
  }
  const past = await client.write(size - 1, pattern(2)).catch((error: { number?: number }) => error.number);
  assert.equal(past, replyError.ENOSPC, "the disk does not grow");
  assert.deepEqual(await server.end(), { code: 0, signal: null }, server.stderr);
  const bytes = await readFile(path);
  assert.equal(bytes.length, size);
  assert.ok(whole.equals(bytes));
});
