/** What the file store remembers of blocks: what is the file's own, and nothing once anything was freed (R17). */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { FileStore } from "../../../src/index.js";
import { cells } from "../../../src/stores/file/descriptors.js";
import { type Piece } from "../../../src/stores/file/extents.js";
import { KnownBlocks } from "../../../src/stores/file/known-blocks.js";
import { loadLibc } from "../../../src/stores/file/libc.js";

const block = 4096;
const chunk = 256;

/** A disk of which these blocks are holes, and what was asked of it. */
function disk(...holes: number[]) {
  const asked: [number, number][] = [];
  const look = (first: number, end: number): readonly Piece[] => {
    asked.push([first, end]);
    return holes
      .filter((hole) => hole >= first && hole < end)
      .map((hole) => ({ kind: "hole", first: hole, end: hole + 1 }));
  };
  return { holes, asked, look };
}

const shared = () => new Int32Array(new SharedArrayBuffer(4 * cells.count));

describe("known blocks", () => {
  it("ask once for a chunk, and not again about what is the file's own", () => {
    const known = new KnownBlocks(shared());
    const { asked, look } = disk(7);
    for (let at = 0; at < chunk; at++) {
      const missing = at === 7 ? [{ kind: "hole", first: 7, end: 8 }] : [];
      assert.deepEqual(known.missing(at, at + 1, look), missing, String(at));
    }
    assert.deepEqual(asked, [
      [0, chunk],
      [7, 8],
    ]);
    assert.deepEqual(known.missing(5, 10, look), [{ kind: "hole", first: 7, end: 8 }]);
    assert.deepEqual(known.missing(chunk - 1, chunk + 1, look), []);
    assert.deepEqual(asked.slice(2), [
      [5, 10],
      [chunk - 1, chunk + 1],
    ]);
  });

  it("never remember a hole: it is asked for until it is the file's own", () => {
    const known = new KnownBlocks(shared());
    const { holes, asked, look } = disk(7, 8);
    known.missing(0, 1, look);
    assert.equal((known.missing(7, 9, look) as Piece[]).length, 2);
    holes.shift();
    assert.deepEqual(known.missing(7, 8, look), []);
    assert.deepEqual(known.missing(7, 8, look), []);
    known.add(8, 9);
    assert.deepEqual(known.missing(8, 9, look), []);
    assert.deepEqual(asked, [
      [0, chunk],
      [7, 9],
      [7, 8],
    ]);
  });

  it("forget everything, in all threads, when something was freed", () => {
    const cellsOfBoth = shared();
    const mine = new KnownBlocks(cellsOfBoth);
    const theirs = new KnownBlocks(new Int32Array(cellsOfBoth.buffer));
    const { holes, look } = disk();
    assert.deepEqual(mine.missing(3, 4, look), []);
    holes.push(3);
    theirs.forget();
    assert.deepEqual(mine.missing(3, 4, look), [{ kind: "hole", first: 3, end: 4 }]);
  });

  it("take nothing for known that was freed while they looked", () => {
    const known = new KnownBlocks(shared());
    const { holes, look } = disk();
    const missing = known.missing(3, 4, (first, end) => {
      const found = look(first, end);
      holes.push(3);
      known.forget();
      return found;
    });
    assert.deepEqual(missing, []);
    assert.deepEqual(known.missing(3, 4, look), [{ kind: "hole", first: 3, end: 4 }]);
  });

  it("keep a bounded number of chunks, the newest", () => {
    const known = new KnownBlocks(shared());
    const { asked, look } = disk();
    for (const at of [0, 1024, 2048]) known.missing(at * chunk, at * chunk + 1, look);
    known.missing(2048 * chunk, 2048 * chunk + 1, look);
    assert.equal(asked.length, 3);
    known.missing(0, 1, look);
    assert.equal(asked.length, 4);
    known.missing(2 ** 41 - 1, 2 ** 41, look);
    assert.deepEqual(asked.at(-1), [2 ** 41 - chunk, 2 ** 41]);
  });
});

describe("a file store on a file system that punches", { skip: loadLibc() === null && "koffi does not load" }, () => {
  const open = async (t: TestContext) => {
    const folder = mkdtempSync(join(tmpdir(), "pinfold-known-"));
    const store = await FileStore.open(join(folder, "file"), { create: true, sizeBytes: 64 * block });
    const own = shared();
    const other = FileStore.attach(store.share?.(own) ?? "", own);
    t.after(async () => {
      other.detach();
      await store.close();
      rmSync(folder, { recursive: true });
    });
    const skip = !store.capabilities.punchesHoles || store.fileSystem !== "ext4";
    if (skip) t.skip(`the temporary folder is on ${store.fileSystem}`);
    return { store, other, skip };
  };
  /** The block word of a grant of one block: 1 where it was the file's own, 3 where it had to be reserved. */
  const grant = (store: FileStore, at: number) => {
    const blocks = new Uint32Array(1);
    store.pageMkwriteSync({ position: at * block, length: block, pageSize: block, blocks });
    return blocks[0];
  };
  const data = [new Uint8Array(block).fill(1)];

  it("reserves again what was punched, cut off, or cancelled, by whichever thread", async (t) => {
    const { store, other, skip } = await open(t);
    if (skip) return;
    for (const [mine, theirs] of [
      [store, store],
      [store, other],
      [other, store],
    ] as const) {
      await mine.truncate(0);
      mine.setSize(64 * block);
      for (const at of [0, 1, 2, 3]) {
        assert.equal(grant(mine, at), 3);
        assert.equal(grant(mine, at), 1);
        assert.equal(grant(theirs, at), 1);
        await mine.writePages(at * block, data);
      }
      await theirs.punch(block, block);
      assert.deepEqual(
        [0, 1, 2].map((at) => grant(mine, at)),
        [1, 3, 1],
      );
      theirs.cancelMkwrite(block, block, 3);
      assert.deepEqual(
        [0, 1, 2].map((at) => grant(mine, at)),
        [1, 3, 1],
      );
      await theirs.truncate(2 * block);
      mine.setSize(64 * block);
      assert.deepEqual(
        [0, 1, 2, 3].map((at) => grant(mine, at)),
        [1, 1, 3, 3],
      );
    }
  });
});
