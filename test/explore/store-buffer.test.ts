/**
 * Store buffers: the litmus tests of total store order (x86-TSO), all schedules of each.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Play } from "../../explore/runtime/play.js";
import { type SearchOptions, search } from "../../explore/search/exhaustive.js";
import type { AtomicName } from "../../explore/runtime/machine.js";
import { type Actor, type Hand, SmallProgram } from "./small-program.js";

const x = 0;
const y = 1;
const other = 2;

/** An operation, or everybody's fence. What is read is an answer of the program. */
type Step = readonly [name: AtomicName | "barrier", word?: number, value?: number];

/** What all schedules of a program answer: what was read, in the order of the threads. */
function answers(
  threads: readonly (readonly Step[])[],
  { reduction = "none", hasBuffers = true }: Pick<SearchOptions, "reduction"> & { hasBuffers?: boolean } = {},
): string[] {
  const read: number[][] = threads.map(() => []);
  const actors = threads.map(
    (steps, at): Actor =>
      function* (hand: Hand): Play<void> {
        read[at] = [];
        for (const [name, word = 0, value = 0] of steps) {
          if (name === "barrier") {
            yield* hand.machine.buffers?.barrier() ?? [];
            continue;
          }
          const answer = yield* hand.does(name, word, value);
          if (name === "peek" || name === "load") read[at]?.push(answer);
        }
      },
  );
  const program = new SmallProgram(actors);
  if (hasBuffers) program.withBuffers();
  const found = new Set<string>();
  program.onEnd = () => found.add(read.flat().join(""));
  const result = search(program, { reduction });
  assert.ok(result.complete);
  return [...found].sort();
}

/** As answers, and the same whatever is left out as superfluous. */
function all(threads: readonly (readonly Step[])[]): string[] {
  const found = answers(threads);
  for (const reduction of ["states", "sleep"] as const) assert.deepEqual(answers(threads, { reduction }), found);
  return found;
}

describe("store buffers", () => {
  const storing: readonly (readonly Step[])[] = [
    [
      ["poke", x, 1],
      ["peek", y],
    ],
    [
      ["poke", y, 1],
      ["peek", x],
    ],
  ];

  test("let a load overtake an older store (SB)", () => {
    assert.deepEqual(all(storing), ["00", "01", "10", "11"]);
    assert.deepEqual(answers(storing, { hasBuffers: false }), ["01", "10", "11"]);
  });

  test("let no load overtake an atomic change", () => {
    const fenced = storing.map(([first, second]): readonly Step[] => [
      first as Step,
      ["add", other, 1],
      second as Step,
    ]);
    assert.deepEqual(all(fenced), ["01", "10", "11"]);
    const swapped: readonly (readonly Step[])[] = [
      [
        ["store", x, 1],
        ["load", y],
      ],
      [
        ["store", y, 1],
        ["load", x],
      ],
    ];
    assert.deepEqual(all(swapped), ["01", "10", "11"]);
  });

  test("let an atomic load overtake an older store, as on x86", () => {
    const loaded = storing.map(([first, second]): readonly Step[] => [
      first as Step,
      ["load", (second as Step)[1] ?? 0],
    ]);
    assert.ok(all(loaded).includes("00"));
  });

  test("show the stores of a thread in its order (MP)", () => {
    const passed: readonly (readonly Step[])[] = [
      [
        ["poke", x, 1],
        ["poke", y, 1],
      ],
      [
        ["peek", y],
        ["peek", x],
      ],
    ];
    assert.deepEqual(all(passed), ["00", "01", "11"]);
  });

  test("answer a thread what it has stored itself", () => {
    assert.deepEqual(
      all([
        [
          ["poke", x, 1],
          ["peek", x],
          ["poke", x, 2],
          ["peek", x],
          ["load", x],
        ],
      ]),
      ["122"],
    );
  });

  test("are emptied by the other one's barrier, so that one side needs no fence", () => {
    const [plain = []] = storing;
    const revoker: readonly Step[] = [["store", y, 1], ["barrier"], ["load", x]];
    assert.deepEqual(all([plain, revoker]), ["01", "10", "11"]);
    assert.ok(all([plain, revoker.filter(([name]) => name !== "barrier")]).includes("00"));
  });
});
