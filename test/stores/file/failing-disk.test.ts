/**
 * A disk whose writes fail for a while: ext4 without a journal (which would stop the whole file system at the first error)
 * on an image that lies on a full tmpfs.
 */
import { ok, rejects, strictEqual } from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
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
  heal(): void;
}

describe("file store on a disk whose writes fail", { skip: missing ?? false }, () => {
  let failing: Failing | undefined;
  afterEach(async () => {
    failing?.heal();
    await failing?.store.close().catch(() => {});
    failing?.disk.close();
    failing = undefined;
  });

  /** A store with 4 MiB granted and written, of which the last 2 MiB have no place on the disk behind. */
  async function open(): Promise<Failing> {
    const disk = openSmallDisk({ mebibytes: 64, mkfs: ["mkfs.ext4", "-q", "-b", "4096", "-O", "^has_journal", "-E", "lazy_itable_init=0,nodiscard"], backingMebibytes: 24 });
    const store = await FileStore.open(join(disk.directory, "file"), { create: true, sizeBytes: 4 * MiB });
    await store.pageMkwrite({ position: 0, length: 4 * MiB, pageSize: block, blocks: new Uint32Array(1024) });
    await store.writePages(0, [patternBytes(alignedBytes(2 * MiB), 0)]);
    await store.sync({ data: false });
    const filler = join(disk.directory, "..", "backing", "filler");
    try {
      writeFileSync(filler, new Uint8Array(32 * MiB));
    } catch (error) {
      strictEqual((error as { code?: unknown }).code, "ENOSPC");
    }
    failing = { disk, store, heal: () => rmSync(filler, { force: true }) };
    return failing;
  }

  it("a sync after a failed write-back fails, and after the same bytes were written again on a healthy disk succeeds", async () => {
    const { store, heal } = await open();
    const bytes = patternBytes(alignedBytes(2 * MiB), 2 * MiB);
    await store.writePages(2 * MiB, [bytes]);
    await rejects(store.sync({ data: true }), (error: unknown) => error instanceof PinfoldError);
    heal();
    await store.writePages(2 * MiB, [bytes]);
    await store.sync({ data: true });
    const direct = await FileStore.open(store.name, { direct: true, readOnly: true, lock: false });
    const back = alignedBytes(2 * MiB);
    await direct.readPages(2 * MiB, [back]);
    await direct.close();
    strictEqual(Buffer.compare(back, bytes), 0, "on the disk");
  });

  for (const call of ["punch", "truncate"] as const) {
    it(`${call} inside a block does not use up the error that the next sync has to report`, async () => {
      const { store } = await open();
      await store.writePages(2 * MiB, [patternBytes(alignedBytes(2 * MiB), 2 * MiB)]);
      // The error is the disk's, and may be this call's too; what counts is the sync after it.
      const outcome = await (call === "punch" ? store.punch(100, 50) : store.truncate(4 * MiB - 100)).then(() => "ok", (error: unknown) => error);
      ok(outcome === "ok" || outcome instanceof PinfoldError);
      await rejects(store.sync({ data: true }), (error: unknown) => error instanceof PinfoldError);
    });
  }
});
