/**
 * What is said about storage that keeps no promise: by file system, by the file's own flags, by the kind of block device; on real
 * ones where this machine has them. And what a quota does.
 */
import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { toPinfoldError } from "../../../src/base/errors.js";
import { PageCache, PinfoldError } from "../../../src/index.js";
import { narrowed, policyOf, policyOfDevice } from "../../../src/stores/file/detect.js";
import { FileStore } from "../../../src/stores/file/file-store.js";
import { systemError } from "../../../src/stores/file/libc.js";
import { alignedBytes, patternBytes } from "../../../src/testing/index.js";
import { startServing, Undo } from "../../real/server-process.js";
import {
  leaveFree,
  missingForDisks,
  openSmallDisk,
  run,
  type SmallDisk,
  type SmallDiskOptions,
} from "./loop-device.js";

const MiB = 1024 * 1024;
const block = 4096;
const ext4 = { mebibytes: 48, mkfs: ["mkfs.ext4", "-q", "-b", "4096", "-m", "0"] };
const xfs = { mebibytes: 320, mkfs: ["mkfs.xfs", "-q"] };
const btrfs = { mebibytes: 192, mkfs: ["mkfs.btrfs", "-q"] };

function diskOf(t: TestContext, options: SmallDiskOptions, ...tools: string[]): SmallDisk | undefined {
  const missing = missingForDisks(options.mkfs[0] as string, ...tools);
  if (missing !== null) {
    t.skip(missing);
    return undefined;
  }
  const disk = openSmallDisk(options);
  t.after(() => disk.close());
  return disk;
}

async function saidOf(path: string): Promise<{ reserves: string; note: string | undefined }> {
  const store = await FileStore.open(path, { create: true });
  const { reserves, reservesNote } = store.capabilities;
  await store.close();
  return { reserves, note: reservesNote };
}

describe("what a file store says of its file system", () => {
  it("every type that promises nothing comes with its reason, and the others without one", () => {
    const types = [0x9123683e, 0xca451a4e, 0x2fc12fc1, 0xf2f52010, 0x3434, 0x794c7630, 0x6969, 0x65735546, 0x4711];
    for (const type of types) {
      const { reserves, reason } = policyOf(type);
      strictEqual(reserves, "none", type.toString(16));
      ok(reason !== undefined && reason.length > 10, type.toString(16));
    }
    for (const type of [0xef53, 0x58465342, 0x01021994]) strictEqual(policyOf(type).reason, undefined);
  });

  it("a compressed file, and one in a realtime part, is promised nothing whatever its file system", () => {
    const policy = policyOf(0x58465342);
    const none = { isCompressed: false, isRealtime: false };
    strictEqual(narrowed(policy, none), policy);
    for (const flags of [{ isCompressed: true }, { isRealtime: true }]) {
      const less = narrowed(policy, { ...none, ...flags });
      strictEqual(less.reserves, "none");
      ok(less.reason !== undefined && less.fallocates, "and still tries");
    }
    const btrfsReason = policyOf(0x9123683e).reason;
    strictEqual(narrowed(policyOf(0x9123683e), { isCompressed: true, isRealtime: false }).reason, btrfsReason);
  });

  for (const options of [ext4, xfs]) {
    it(`${options.mkfs[0]}: space that is granted is certain`, async (t) => {
      const disk = diskOf(t, options);
      if (disk) deepStrictEqual(await saidOf(join(disk.directory, "file")), { reserves: "data", note: undefined });
    });
  }

  it("ext4 with the flag of compression: nothing is certain", async (t) => {
    const disk = diskOf(t, ext4, "chattr");
    if (!disk) return;
    const path = join(disk.directory, "file");
    writeFileSync(path, "");
    try {
      run("chattr", "+c", path);
    } catch {
      return t.skip("this ext4 refuses the flag of compression");
    }
    const { reserves, note } = await saidOf(path);
    strictEqual(reserves, "none");
    match(note ?? "", /ext4 keeps this file compressed/);
  });

  it("btrfs: nothing is certain, nothing can be allocated, and a cache and the command line say so", async (t) => {
    const disk = diskOf(t, btrfs);
    if (!disk) return;
    const path = join(disk.directory, "file");
    await using cache = await PageCache.open({ memory: "1MiB" });
    const file = await cache.open(path, { create: true, size: MiB });
    strictEqual(file.capabilities.reserves, "none");
    match(file.capabilities.reservesNote ?? "", /^btrfs writes every change to a new place/);
    await rejects(file.allocate(0, block), { code: "ENOTSUP" });
    await file.close();
    const server = await startServing(t, new Undo(t), [path]);
    match(server.stdout, /no space is reserved, so that a flush may fail: btrfs writes/);
    deepStrictEqual(await server.end(), { code: 0, signal: null });
  });

  it("overlay: nothing is certain, but space is asked for early all the same", async (t) => {
    const disk = diskOf(t, ext4);
    if (!disk) return;
    const folders = ["lower", "upper", "work", "merged"].map((name) => join(disk.directory, name)) as [
      string,
      string,
      string,
      string,
    ];
    for (const folder of folders) mkdirSync(folder);
    const [lower, upper, work, merged] = folders;
    try {
      run("mount", "-t", "overlay", "overlay", "-o", `lowerdir=${lower},upperdir=${upper},workdir=${work}`, merged);
    } catch (error) {
      return t.skip(`no overlay can be mounted: ${String(error)}`);
    }
    try {
      const path = join(merged, "file");
      const { reserves, note } = await saidOf(path);
      strictEqual(reserves, "none");
      match(note ?? "", /^overlay /);
      const store = await FileStore.open(path);
      store.setSize(8 * MiB);
      leaveFree(disk, MiB);
      const request = { position: 0, length: 4 * MiB, pageSize: block, blocks: new Uint32Array(1024) };
      await rejects(async () => store.pageMkwrite(request), { code: "ENOSPC" });
      await store.close();
    } finally {
      run("umount", merged);
    }
  });
});

describe("what a file store says of block devices", () => {
  function sysfsOf(t: TestContext, name: string, files: Record<string, string>, part?: string): string {
    const sysfs = mkdtempSync(join(tmpdir(), "pinfold-sysfs-"));
    t.after(() => rmSync(sysfs, { recursive: true }));
    const place = join(sysfs, "devices", name, part ?? "");
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(sysfs, "devices", name, path)), { recursive: true });
      writeFileSync(join(sysfs, "devices", name, path), text);
    }
    mkdirSync(place, { recursive: true });
    if (part !== undefined) writeFileSync(join(place, "partition"), "1\n");
    mkdirSync(join(sysfs, "dev/block"), { recursive: true });
    symlinkSync(place, join(sysfs, "dev/block/8:1"));
    return sysfs;
  }

  it("a plain disk and its partitions have all their blocks", (t) => {
    for (const part of [undefined, "sda1"]) {
      const sysfs = sysfsOf(t, "sda", { "device/scsi_disk/0:0:0:0/thin_provisioning": "0\n" }, part);
      strictEqual(policyOfDevice("8:1", sysfs).reserves, "data");
    }
  });

  it("thin disks, their partitions, and what lies on something else promise nothing, with a reason", (t) => {
    const thin = { "device/scsi_disk/0:0:0:0/thin_provisioning": "1\n" };
    const places = [sysfsOf(t, "sda", thin), sysfsOf(t, "sda", thin, "sda1")];
    for (const name of ["loop3", "dm-0", "zram0", "nbd1"]) places.push(sysfsOf(t, name, {}));
    for (const sysfs of places) {
      const { reserves, reason } = policyOfDevice("8:1", sysfs);
      strictEqual(reserves, "none");
      match(reason ?? "", /fewer blocks/);
    }
    strictEqual(policyOfDevice("9:9", places[0]).reserves, "none", "a device that is not described");
  });

  it("a loop device is told from a disk by its number", async (t) => {
    const disk = diskOf(t, ext4);
    if (!disk) return;
    const image = join(disk.directory, "image");
    run("truncate", "-s", "8M", image);
    const loop = run("losetup", "-f", "--show", image);
    try {
      const store = await FileStore.open(loop);
      const { reserves, reservesNote } = store.capabilities;
      await store.close();
      deepStrictEqual(reserves, "none");
      match(reservesNote ?? "", /^block device may have fewer blocks/);
    } finally {
      run("losetup", "-d", loop);
    }
  });
});

describe("a quota", () => {
  it("is a lack of space, whether Node knows its name or only its number", () => {
    const unnamed = Object.assign(new Error("Unknown system error -122"), {
      code: "Unknown system error -122",
      errno: -122,
    });
    for (const error of [
      unnamed,
      systemError(122, "fallocate"),
      Object.assign(new Error("quota"), { code: "EDQUOT" }),
    ]) {
      const wrapped = toPinfoldError(error, "write");
      strictEqual(wrapped.code, "ENOSPC");
      match(wrapped.message, /EDQUOT/);
      strictEqual(wrapped.cause, error);
    }
    strictEqual(toPinfoldError(systemError(121, "write"), "write").code, "EIO", "another number without a name");
  });

  it("of btrfs that is used up is ENOSPC with the quota as its cause, nothing is lost, and more of it heals all", async (t) => {
    const disk = diskOf(t, btrfs, "btrfs");
    if (!disk) return;
    const volume = join(disk.directory, "volume");
    run("btrfs", "quota", "enable", disk.directory);
    run("btrfs", "subvolume", "create", volume);
    const path = join(volume, "file");
    const cache = await PageCache.open({ memory: "16MiB", dirtyBytesMax: "6MiB", writebackIntervalMs: 86_400_000 });
    t.after(() => cache.close({ discard: true }));
    const file = await cache.open(path, { create: true, size: 8 * MiB });
    run("btrfs", "qgroup", "limit", "2M", volume);
    const whole = patternBytes(alignedBytes(4 * MiB), 0, 5);
    for (let at = 0; at < whole.length; at += MiB) await file.write(whole, at, MiB, at);
    await rejects(file.sync(), (error: unknown) => {
      ok(error instanceof PinfoldError, String(error));
      strictEqual(error.code, "ENOSPC");
      match(error.message, /EDQUOT|quota/i);
      return true;
    });
    strictEqual(file.size, 8 * MiB);
    ok(cache.stats().dirtyPages > 0, "what could not be written stays dirty");
    run("btrfs", "qgroup", "limit", "none", volume);
    await file.sync();
    strictEqual(Buffer.compare((await readFile(path)).subarray(0, whole.length), whole), 0);
    cache.verify({ quiesce: true });
  });
});
