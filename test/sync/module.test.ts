/**
 * The shipped module of page words, taken apart: what recovery relies on is that a step is loop-free (decision 0002).
 * And the layout that it works on: limits that agree, regions that do not overlap.
 *
 * `find` and `nextResident` may hold a loop, where a thread can be stopped. So they must change nothing but their thread's
 * scratch: the disassembly shows no atomic update in them, and no store at all in `nextResident`; that the stores of `find`
 * go to the scratch alone is seen by running it and comparing the whole memory.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import binaryen from "binaryen";
import { exportedNames } from "../../explore/words/transform.js";
import { packageRoot, readSources } from "../../explore/words/builds.js";
import { configureWords, planWords, WordsMemory } from "../../explore/words/words-memory.js";
import { limits } from "../../src/base/limits.js";
import { sharedMemory } from "../../src/sync/shared.js";
import * as layout from "../../src/sync/layout.js";
import { loadWords } from "../../src/sync/words.js";

const withLoops = new Set(["find", "nextResident"]);
const forbidden = ["call", "call_indirect", "call_ref", "return_call", "return_call_indirect", "memory.grow"];
const updates = /atomic\.(?:rmw|wait|notify)|\bmemory\.(?:fill|copy|init)/;

/** The text of each exported function, by its exported name. */
function disassemble(module: binaryen.Module): Map<string, string> {
  const texts = new Map<string, string>();
  for (let at = 0; at < module.getNumExports(); at++) {
    const info = binaryen.getExportInfo(module.getExportByIndex(at));
    if (info.kind !== binaryen.ExternalFunction) continue;
    const { body } = binaryen.getFunctionInfo(module.getFunction(info.value));
    texts.set(info.name, binaryen.emitText(body));
  }
  return texts;
}

/** What a step must not hold, as the instructions that it does. */
function complaints(name: string, text: string): string[] {
  const found = forbidden.filter(
    (instruction) => text.includes(`(${instruction} `) || text.includes(`(${instruction}\n`),
  );
  if (!withLoops.has(name) && /\(loop\b/.test(text)) found.push("loop");
  if (withLoops.has(name) && updates.test(text)) found.push("an atomic update beside a loop");
  return found.map((what) => `${name}: ${what}`);
}

const binary = readFileSync(join(packageRoot(), "build/src/sync/words.wasm"));
const shipped = binaryen.readBinary(new Uint8Array(binary));
const texts = disassemble(shipped);

describe("the module of page words", () => {
  it("exports what words/index.ts names, and nothing else", () => {
    assert.deepEqual([...texts.keys()].sort(), exportedNames(readSources()).sort());
  });

  it("has no loop, no call and no memory growth in any step", () => {
    assert.ok(texts.size > 50);
    assert.deepEqual(
      [...texts].flatMap(([name, text]) => complaints(name, text)),
      [],
    );
    assert.ok(
      [...texts.values()].some((text) => /atomic\.rmw/.test(text)),
      "the disassembly shows instructions",
    );
    for (const name of withLoops) assert.match(texts.get(name) ?? "", /\(loop\b/);
  });

  it("stores nothing in nextResident", () => {
    assert.doesNotMatch(texts.get("nextResident") ?? "", /\.store/);
  });

  it("runs nothing when it is instantiated", () => {
    assert.doesNotMatch(shipped.emitText(), /\(start /);
  });

  it("changes only the thread's scratch in find", () => {
    const plan = planWords({ frames: 8 });
    const memory = sharedMemory(plan.bytes);
    const view = new WordsMemory(plan, memory.buffer);
    view.initialise();
    const words = loadWords(memory);
    configureWords(words, plan);
    const indexes = view.collidingIndexes(0, 4);
    for (const index of indexes) {
      const frame = words.reserve(0);
      assert.equal(words.find(0, index, 0), layout.NONE);
      assert.equal(words.insert(frame, 0, index, 0), layout.OK);
    }
    const scratch = layout.THREADS + 3 * layout.THREAD_BYTES;
    for (const index of [...indexes, 12345]) {
      const before = Uint32Array.from(view.words32);
      words.find(0, index, 3);
      const changed = [...before.keys()].filter((at) => before[at] !== view.words32[at]).map((at) => at * 4 - scratch);
      assert.ok(
        changed.every((at) => at >= layout.THREAD_SEEN_HEAD && at < layout.THREAD_CREDITS),
        `find wrote at ${changed.join(", ")}`,
      );
    }
  });

  it("is complained about when a step has a loop, a call or a memory growth", () => {
    const bad = binaryen.parseText(`(module (memory 1)
      (func $f (export "looping") (loop $l (br_if $l (i32.const 0))))
      (func $g (export "calling") (call $f))
      (func $h (export "growing") (drop (memory.grow (i32.const 1))))
      (func $find (export "find") (loop $l (br_if $l (i32.atomic.rmw.add (i32.const 0) (i32.const 1))))))`);
    const found = [...disassemble(bad)].flatMap(([name, text]) => complaints(name, text));
    assert.deepEqual(found, [
      "looping: loop",
      "calling: call",
      "growing: memory.grow",
      "find: an atomic update beside a loop",
    ]);
  });
});

describe("the layout of the words memory", () => {
  it("agrees with the table of limits", () => {
    assert.equal(layout.HOLDERS_MAX, limits.sharedHoldersMax);
    assert.equal(layout.READS_MAX, limits.countedReadsMax);
    assert.equal(layout.WRITES_MAX, limits.countedWritesMax);
    assert.equal(layout.THREADS_MAX, limits.threadsMax);
    assert.equal(layout.MAPPINGS_MAX, limits.mappingsMax);
    assert.equal(layout.NODES_MAX, limits.waitersMax);
    assert.ok(layout.METADATA_BYTES_PER_FRAME <= limits.metadataBytesPerFrameMax);
    assert.ok(limits.framesMax + 1 <= layout.LINK_FRAME_MASK + 1);
  });

  it("has fields in a page word that hold their limits and do not overlap", () => {
    const fields: [number, number, number][] = [
      [layout.HOLDERS_SHIFT, layout.HOLDERS_MASK, Math.max(layout.HOLDERS_MAX, layout.THREADS_MAX - 1)],
      [layout.READS_SHIFT, layout.READS_MASK, layout.READS_MAX],
      [layout.WRITES_SHIFT, layout.WRITES_MASK, layout.WRITES_MAX],
      [layout.FREQUENCY_SHIFT, layout.FREQUENCY_MASK, 3],
      [layout.WRITER_SHIFT, layout.WRITER_MASK, layout.THREADS_MAX - 1],
      [0, layout.STATE_MASK, layout.STATE_SNAPSHOT],
    ];
    const single = Object.entries(layout).flatMap(([name, bit]) =>
      name.endsWith("_BIT") && name !== "TRANSIT_WRITE_BIT" ? [bit] : [],
    );
    let used = 0n;
    for (const [shift, mask, largest] of [...fields, ...single.map((bit): [number, number, number] => [bit, 1, 1])]) {
      assert.ok(largest <= mask);
      const bits = BigInt(mask) << BigInt(shift);
      assert.equal(used & bits, 0n, `bits at ${shift} are used twice`);
      used |= bits;
    }
    assert.ok(single.length > 15 && used < 2n ** 64n);
  });

  it("has queues that hold every node", () => {
    assert.ok(layout.NODES_MAX <= layout.QUEUE_MASK);
    assert.ok(
      layout.QUEUE_HEAD_SHIFT >= 1 &&
        layout.QUEUE_TAIL_SHIFT >= layout.QUEUE_HEAD_SHIFT + 13 &&
        layout.QUEUE_TAIL_SHIFT + 13 <= 32,
    );
  });

  const lists = (address: number, count: number): [number, number][] =>
    Array.from({ length: count }, (_, at) => [address + at * 16, 12]);
  const structures: Record<string, { bytes: number; wide: string[]; narrow: string[]; more: [number, number][] }> = {
    HEADER_: {
      bytes: layout.HEADER_BYTES,
      wide: ["HEADER_NODES_FREE"],
      narrow: [],
      more: lists(layout.HEADER_LISTS, layout.LIST_SNAPSHOT + 1),
    },
    THREAD_: { bytes: layout.THREAD_BYTES, wide: ["THREAD_SEEN_HEAD"], narrow: [], more: [] },
    MAPPING_: {
      bytes: layout.MAPPING_BYTES,
      wide: ["MAPPING_SIZE", "MAPPING_OLD_SIZE", "MAPPING_HOLE_FROM", "MAPPING_HOLE_TO"],
      narrow: [],
      more: [
        ...lists(layout.MAPPING_DIRTY_LIST, 1 + layout.LIST_WRITEBACK - layout.LIST_DIRTY),
        [layout.MAPPING_OPENERS, layout.THREADS_MAX * 2],
        [layout.MAPPING_CELLS, 8 * 4],
      ],
    },
    NODE_: { bytes: layout.NODE_BYTES, wide: [], narrow: [], more: [] },
    TRANSFER_: { bytes: layout.TRANSFER_BYTES, wide: [], narrow: [], more: [] },
    RECORD_: {
      bytes: 2 ** layout.RECORD_SHIFT,
      wide: ["RECORD_WORD"],
      narrow: ["RECORD_MAPPING", "RECORD_DIRTIED"],
      more: [],
    },
  };
  const states = {
    THREAD_: "FREE|ATTACHED|DEAD",
    MAPPING_: "FREE|OPENING|OPEN|CLOSING|ORPHANED|OPENERS|CELLS",
    NODE_: "FREE|WAITING|GRANTED|CANCELLED|DISMISSED",
    TRANSFER_: "FREE|OFFERED|ADOPTING|STATE_MASK",
  };
  const noFields = new RegExp(
    ["(?<!FACTS)_BYTES$|_(?:SHIFT|MAX)$|_LIST(?:S|_0|_1)?$"]
      .concat(Object.entries(states).map(([prefix, names]) => `^${prefix}(?:${names})$`))
      .join("|"),
  );

  for (const [prefix, { bytes, wide, narrow, more }] of Object.entries(structures)) {
    it(`has fields ${prefix}* that do not overlap`, () => {
      const fields = Object.entries(layout)
        .filter(([name]) => name.startsWith(prefix) && !noFields.test(name))
        .map(([name, at]): [number, number] => [at, wide.includes(name) ? 8 : narrow.includes(name) ? 2 : 4]);
      assertApart([...fields, ...more], bytes);
    });
  }

  it("has regions that follow each other", () => {
    assertApart(
      [
        [0, layout.HEADER_BYTES],
        [layout.THREADS, layout.THREADS_MAX * layout.THREAD_BYTES],
        [layout.MAPPINGS, layout.MAPPINGS_MAX * layout.MAPPING_BYTES],
        [layout.NODES, layout.NODES_MAX * layout.NODE_BYTES],
      ],
      layout.RECORDS,
    );
  });
});

/** Pieces [from, size] lie within `bytes`, at multiples of their size (8 at most), apart from each other. */
function assertApart(pieces: readonly [number, number][], bytes: number): void {
  assert.ok(pieces.length > 2);
  const sorted = [...pieces].sort(([one], [other]) => one - other);
  let end = 0;
  for (const [from, size] of sorted) {
    assert.ok(from >= end, `what begins at ${from} overlaps what ends at ${end}`);
    assert.equal(from % (size % 8 === 0 ? 8 : size % 4 === 0 ? 4 : size), 0, `what begins at ${from} is not aligned`);
    end = from + size;
  }
  assert.ok(end <= bytes, `${end} is beyond ${bytes}`);
}
