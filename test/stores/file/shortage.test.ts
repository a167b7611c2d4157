/**
 * Fault F34 below the cache: a file store that gets no further descriptor changes nothing, and does what was asked for later. A lack of
 * descriptors is what node:fs's open says, replaced for a while.
 */
import { deepStrictEqual, rejects, strictEqual, throws } from "node:assert/strict";
import fs, { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, describe, it } from "node:test";
import { FileStore } from "../../../src/stores/file/file-store.js";
import { alignedBytes, patternBytes } from "../../../src/testing/index.js";

const directory = mkdtempSync(join(tmpdir(), "pinfold-descriptors-"));
after(() => rmSync(directory, { recursive: true }));

const real = { openSync: fs.openSync, fsyncSync: fs.fsyncSync };
const block = 4096;
const contents = patternBytes(new Uint8Array(4 * block), 0);

function failing(name: keyof typeof real, code: string): void {
  const fail = () => {
    throw Object.assign(new Error(code), { code });
  };
  Object.assign(fs, { [name]: fail });
  syncBuiltinESMExports();
}

function heal(): void {
  Object.assign(fs, real);
  syncBuiltinESMExports();
}

async function open(name: string): Promise<FileStore> {
  writeFileSync(join(directory, name), contents);
  return FileStore.open(join(directory, name));
}

describe("file store without a descriptor to be had", () => {
  afterEach(heal);

  it("truncate inside a block and punch of parts of blocks fail, and have changed nothing", async () => {
    const store = await open("cut");
    failing("openSync", "EMFILE");
    await rejects(store.truncate(2 * block + 100), { code: "EMFILE" });
    await rejects(store.punch(100, block), { code: "EMFILE" });
    heal();
    deepStrictEqual(new Uint8Array(readFileSync(store.name)), contents);
    await store.punch(100, block);
    await store.truncate(2 * block + 100);
    const expected = contents.slice(0, 2 * block + 100).fill(0, 100, 100 + block);
    deepStrictEqual(new Uint8Array(readFileSync(store.name)), expected);
    await store.close();
  });

  it("what is written again after a failed sync is not written where the kernel cannot be made to forget it", async () => {
    const store = await open("again");
    const bytes = patternBytes(alignedBytes(block), 0, 9);
    failing("fsyncSync", "EIO");
    throws(() => store.syncSync({ data: false }), { code: "EIO" });
    heal();
    failing("openSync", "EMFILE");
    await rejects(store.writePages(block, [bytes]), { code: "EMFILE" });
    throws(() => store.writePagesSync(block, [bytes]), { code: "EMFILE" });
    heal();
    deepStrictEqual(new Uint8Array(readFileSync(store.name)), contents);
    await store.writePages(block, [bytes]);
    store.syncSync({ data: false });
    strictEqual(Buffer.compare(readFileSync(store.name).subarray(block, 2 * block), bytes), 0);
    await store.close();
  });
});
