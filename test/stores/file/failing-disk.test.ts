/**
 * A disk whose writes fail for a while: ext4 without a journal (which would stop the whole file system at the first error)
 * on an image that lies on a full tmpfs.
 */
import { ok, rejects, strictEqual } from "node:assert/strict";
import fs, { rmSync, writeFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { afterEach, describe, it } from "node:test";
import { PinfoldError } from "../../../src/base/errors.js";
import { FileStore } from "../../../src/stores/file/file-store.js";
import { alignedBytes, patternBytes } from "../../../src/testing/index.js";
import { missingForDisks, openSmallDisk, type SmallDisk } from "./loop-device.js";

const MiB = 1024 * 1024;
const block = 4096;
const missing = missingForDisks("mkfs.ext4");

interface Failing {
  disk: SmallDisk;
  store: FileStore;
  readonly heal: () => void;
}

describe("file store on a disk whose writes fail", { skip: missing ?? false }, () => {
  let failing: Failing | undefined;
  afterEach(async () => {
    failing?.heal();
    await failing?.store.close().catch(() => {});
    failing?.disk.close();
    failing = undefined;
  });

  /** A store with 4 MiB granted, of which the first 2 MiB are written, and the others have no place on the disk behind. */
  async function open(): Promise<Failing> {
    const disk = openSmallDisk({
      mebibytes: 64,
      mkfs: ["mkfs.ext4", "-q", "-b", "4096", "-O", "^has_journal", "-E", "lazy_itable_init=0,nodiscard"],
      backingMebibytes: 24,
    });
    const store = await FileStore.open(join(disk.directory, "file"), { create: true, sizeBytes: 4 * MiB });
    await store.pageMkwrite({ position: 0, length: 2 * MiB, pageSize: block, blocks: new Uint32Array(512) });
    await store.writePages(0, [patternBytes(alignedBytes(2 * MiB), 0)]);
    await store.sync({ data: false });
    const filler = join(disk.directory, "..", "backing", "filler");
    try {
      writeFileSync(filler, new Uint8Array(32 * MiB));
    } catch (error) {
      strictEqual((error as { code?: unknown }).code, "ENOSPC");
    }
    await store.pageMkwrite({ position: 2 * MiB, length: 2 * MiB, pageSize: block, blocks: new Uint32Array(512) });
    failing = { disk, store, heal: () => rmSync(filler, { force: true }) };
    return failing;
  }

  async function onDisk(path: string): Promise<Uint8Array> {
    const direct = await FileStore.open(path, { direct: true, readOnly: true, lock: false });
    const back = alignedBytes(2 * MiB);
    await direct.readPages(2 * MiB, [back]);
    await direct.close();
    return back;
  }

  for (const sync of [false, true]) {
    it(`a sync after a failed write-back fails, and after the same bytes were written again on a healthy disk they are on it (${sync ? "sync" : "waiting"} calls)`, async () => {
      const { store, heal } = await open();
      const bytes = patternBytes(alignedBytes(2 * MiB), 2 * MiB);
      const write = async (): Promise<void> =>
        sync ? store.writePagesSync(2 * MiB, [bytes]) : store.writePages(2 * MiB, [bytes]);
      const syncIt = async (): Promise<void> => (sync ? store.syncSync({ data: true }) : store.sync({ data: true }));
      await write();
      await rejects(syncIt, (error: unknown) => error instanceof PinfoldError);
      heal();
      await write();
      await syncIt();
      strictEqual(Buffer.compare(await onDisk(store.name), bytes), 0, "on the disk");
    });
  }

  it("a write that was under way while a sync failed is done again before it counts", async () => {
    const { store, heal } = await open();
    const bytes = patternBytes(alignedBytes(2 * MiB), 2 * MiB);
    const real = fs.write as unknown as (...args: unknown[]) => void;
    let finish: (() => void) | undefined;
    const taken = new Promise<void>((resolve) => {
      // The kernel takes the bytes; the store hears of it later.
      const held = (...args: unknown[]): void => {
        const done = args.pop() as (...result: unknown[]) => void;
        real(...args, (...result: unknown[]) => {
          finish = () => done(...result);
          resolve();
        });
      };
      Object.assign(fs, { write: held });
      syncBuiltinESMExports();
    });
    const writing = store.writePages(2 * MiB, [bytes]);
    await taken;
    Object.assign(fs, { write: real });
    syncBuiltinESMExports();
    await rejects(store.sync({ data: true }), (error: unknown) => error instanceof PinfoldError);
    heal();
    finish?.();
    await writing;
    await store.sync({ data: true });
    strictEqual(Buffer.compare(await onDisk(store.name), bytes), 0, "on the disk");
  });

  it("a write in another thread's store knows of the failure", async () => {
    const { store, heal } = await open();
    const bytes = patternBytes(alignedBytes(2 * MiB), 2 * MiB);
    await store.writePages(2 * MiB, [bytes]);
    await rejects(store.sync({ data: true }), (error: unknown) => error instanceof PinfoldError);
    heal();
    const cells = new Int32Array(new SharedArrayBuffer(32));
    const other = FileStore.attach(store.share?.(cells) ?? "", cells);
    await other.writePages(2 * MiB, [bytes]);
    await other.sync({ data: true });
    other.detach();
    strictEqual(Buffer.compare(await onDisk(store.name), bytes), 0, "on the disk");
  });

  it("without koffi a sync after a failed one fails for good, since writing again proves nothing there", async () => {
    process.env["PINFOLD_NO_KOFFI"] = "1";
    try {
      const { store, heal } = await open();
      const bytes = patternBytes(alignedBytes(2 * MiB), 2 * MiB);
      await store.writePages(2 * MiB, [bytes]);
      await rejects(store.sync({ data: true }), (error: unknown) => error instanceof PinfoldError);
      heal();
      await store.writePages(2 * MiB, [bytes]);
      for (let i = 0; i < 2; i++) await rejects(store.sync({ data: true }), { code: "EIO" });
    } finally {
      delete process.env["PINFOLD_NO_KOFFI"];
    }
  });

  for (const call of ["punch", "truncate"] as const) {
    it(`${call} inside a block does not use up the error that the next sync has to report`, async () => {
      const { store } = await open();
      await store.writePages(2 * MiB, [patternBytes(alignedBytes(2 * MiB), 2 * MiB)]);
      // The error is the disk's, and may be this call's too; what counts is the sync after it.
      const outcome = await (call === "punch" ? store.punch(100, 50) : store.truncate(4 * MiB - 100)).then(
        () => "ok",
        (error: unknown) => error,
      );
      ok(outcome === "ok" || outcome instanceof PinfoldError);
      await rejects(store.sync({ data: true }), (error: unknown) => error instanceof PinfoldError);
    });
  }
});
