/** Words of a run's memory by name. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { WordNames } from "../../explore/report/word-names.js";
import * as layout from "../../src/sync/layout.js";
import { shortTables } from "../../explore/transform/short-tables.js";

const names = new WordNames(2);
const threads = shortTables.HEADER_BYTES;
const mappings = threads + shortTables.THREADS_MAX * layout.THREAD_BYTES;
const nodes = mappings + shortTables.MAPPINGS_MAX * layout.MAPPING_BYTES;
const records = nodes + shortTables.NODES_MAX * layout.NODE_BYTES;

test("a word has the name that the layout gives it, whatever else has the same number", () => {
  assert.equal(names.nameOf(layout.HEADER_DIRTY), "cache's dirty");
  assert.equal(names.nameOf(threads + layout.THREAD_STATE), "thread A's state");
  assert.equal(names.nameOf(threads + layout.THREAD_BYTES + layout.THREAD_CREDITS), "thread B's credits");
  assert.equal(names.nameOf(mappings + layout.MAPPING_STATE), "file 0's state");
  assert.equal(names.nameOf(mappings + layout.MAPPING_GENERATION), "file 0's generation");
  assert.equal(names.nameOf(mappings + layout.MAPPING_SIZE + 4), "file 0's size + 4");
  assert.equal(names.nameOf(mappings + layout.MAPPING_BYTES + layout.MAPPING_GATE_UNTIL), "file 1's gate until");
  assert.equal(names.nameOf(nodes + layout.NODE_STATE), "waiter 0's state");
  assert.equal(names.nameOf(records + 32 + layout.RECORD_VIEW), "frame 1's view");
});

test("what lies behind the frames' records keeps its number", () => {
  assert.equal(names.nameOf(records + 64), String(records + 64));
});

test("of a step only the address is another word", () => {
  assert.equal(names.named(`load ${layout.HEADER_CREDITS} = 960`), "load cache's credits = 960");
  for (const step of ["sizeOf(0) = 16", "read 0", "punch 0+16", "bytes of frame 0: [0] = 7"])
    assert.equal(names.named(step), step);
});
