/**
 * Data races: small programs with one, and the same with what orders their accesses; and the sources that ship.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { readInterleaved } from "../../explore/check/tasks.js";
import { Clocks } from "../../explore/runtime/clocks.js";
import type { Play } from "../../explore/runtime/play.js";
import { World } from "../../explore/runtime/world.js";
import { type SearchOptions, search } from "../../explore/search/exhaustive.js";
import { type Actor, type Hand, SmallProgram } from "./small-program.js";

const data = 0;
const flag = 1;
const lock = 2;
const storage = 4;

/** The sentence of the first race, or "". */
function raceIn(
  actors: readonly Actor[],
  { reduction = "states", bound }: Pick<SearchOptions, "reduction" | "bound"> = {},
): string {
  const result = search(new SmallProgram(actors).withRaces(true), {
    reduction,
    warmUpRuns: 0,
    ...(bound === undefined ? {} : { bound }),
  });
  assert.ok(result.complete || result.violations.length > 0);
  const [first] = result.violations;
  if (first) assert.equal(first.kind, "race");
  return first?.sentence ?? "";
}

function* change(hand: Hand): Play<void> {
  const before = yield* hand.does("peek", data);
  yield* hand.does("poke", data, before + 1);
}

/** Only who gets the lock does it. */
function* changeLocked(hand: Hand): Play<void> {
  if ((yield* hand.does("swap", lock, 0, 1)) !== 0) return;
  yield* change(hand);
  yield* hand.does("store", lock, 0);
}

function* say(hand: Hand): Play<void> {
  yield* hand.does("poke", data, 7);
  yield* hand.does("store", flag, 1);
}

function* listen(hand: Hand): Play<void> {
  if ((yield* hand.does("load", flag)) === 1) yield* hand.does("peek", data);
}

function* sayOver(hand: Hand): Play<void> {
  yield* hand.does("store", flag, 1);
}

describe("the check for data races", () => {
  test("finds two threads that change a word without a lock, also where neither interrupts the other", () => {
    assert.match(
      raceIn([change, change], { bound: 0 }),
      /the word at 0: a plain .* by B at small\.ts:1 .* by A at small/,
    );
  });

  test("finds nothing where both have a lock", () => {
    for (const reduction of ["none", "states", "sleep"] as const)
      assert.equal(raceIn([changeLocked, changeLocked], { reduction }), "");
  });

  test("finds who does without the lock that the other one has", () => {
    assert.notEqual(raceIn([changeLocked, change]), "");
  });

  test("takes an atomic store for an order, if the other one reads it atomically", () => {
    assert.equal(raceIn([say, listen]), "");
  });

  test("does not take a plain store for one", () => {
    function* sayPlainly(hand: Hand): Play<void> {
      yield* hand.does("poke", data, 7);
      yield* hand.does("poke", flag, 1);
    }
    assert.match(raceIn([sayPlainly, listen]), /the word at 4: .* atomic/);
  });

  test("finds that a store over another one orders nothing", () => {
    for (const reduction of ["none", "states"] as const)
      assert.match(raceIn([sayOver, say, listen], { reduction }), /the word at 0: a plain look by C/);
  });

  test("tells states apart by who wrote what is there, where it is exact", () => {
    const stateAfter = (isExact: boolean, order: readonly number[]): number => {
      const program = new SmallProgram([sayOver, say]).withRaces(isExact);
      program.everyPoint = true;
      const left = [...order];
      assert.ok(program.run({ decide: (enabled) => left.find((one) => ((enabled >>> one) & 1) === 1) ?? 0 }));
      return program.state();
    };
    assert.equal(stateAfter(false, [0, 1]), stateAfter(false, [1, 0]));
    assert.notEqual(stateAfter(true, [0, 1]), stateAfter(true, [1, 0]));
    assert.equal(stateAfter(true, [0, 1]), stateAfter(true, [0, 1]));
  });

  test("does not take what a plain store has replaced for an order any more", () => {
    for (const isReplaced of [false, true]) {
      const clocks = new Clocks();
      clocks.begin();
      const time = clocks.now(0);
      clocks.release(0, flag, false);
      if (isReplaced) clocks.drop(flag);
      clocks.acquire(1, flag);
      assert.equal(clocks.knows(1, 0, time), !isReplaced);
    }
  });

  test("takes an answer of the storage for an order, and not that the storage is done", () => {
    const through = (isTold: boolean) =>
      function* (hand: Hand): Play<void> {
        const request = hand.races.start(storage);
        yield* hand.does("store", flag, 1);
        hand.races.during(request, () => hand.races.bytes(-1, 0, 8, true));
        const told = hand.races.told(request, () => {});
        if (isTold) told();
        hand.races.bytes(0, 0, 1, false);
      };
    assert.equal(raceIn([through(true)]), "");
    assert.match(raceIn([through(false)]), /byte 0 of frame 0: .* by A at small.ts:1 .* by the storage, for A/);
  });

  test("takes the death of a thread for the end of its requests, too", () => {
    function* dies(hand: Hand): Play<void> {
      const request = hand.races.start(storage);
      hand.races.during(request, () => hand.races.bytes(-1, 0, 8, true));
      hand.races.told(request, () => {});
      yield* hand.does("poke", data, 1);
    }
    function* finds(hand: Hand): Play<void> {
      yield* hand.does("load", lock);
      if (hand.machine.threads[0]?.canGoOn) return;
      hand.races.buries(0);
      hand.races.bytes(0, 0, 8, false);
    }
    assert.equal(raceIn([dies, finds], { bound: 1 }), "");
  });

  test("takes the death of a thread for an order, where it was noticed", () => {
    const finds = (isNoticed: boolean) =>
      function* (hand: Hand): Play<void> {
        if (hand.machine.threads[0]?.canGoOn) return;
        if (isNoticed) hand.races.buries(0);
        yield* hand.does("peek", data);
      };
    function* dies(hand: Hand): Play<void> {
      yield* hand.does("poke", data, 1);
    }
    assert.equal(raceIn([dies, finds(true)], { bound: 0 }), "");
    assert.notEqual(raceIn([dies, finds(false)], { bound: 0 }), "");
  });
});

describe("the sources", () => {
  const source = readInterleaved();
  const file = "explore/races/r14-redirty-in-flight.js";
  const sentences = (interleaved: typeof source, protocol: "locked" | "counted") => {
    const world = new World(interleaved, file, protocol, "", "exactly");
    const { violations } = search(world, { bound: 1 });
    assert.ok((world.machine.races?.compared ?? 0) > 1000, "accesses were compared");
    return violations.map(({ kind, sentence }) => `${kind}: ${sentence}`);
  };

  test("a page's bytes are never accessed in a race", () => {
    assert.deepEqual(sentences(source, "locked"), []);
    assert.deepEqual(sentences(source, "counted"), []);
  });

  test("somebody who writes to a page after he has put it is found", () => {
    const text = source.modules[file] as string;
    const late = text.replace(
      /(function\* lifted\$1[^]*?)(\(yield\* actor\.set\(pin, 0, 77\)\);)\s*(\(yield\* actor\.put\(pin\)\);)/,
      "$1$3$2",
    );
    assert.notEqual(late, text);
    const [first] = sentences({ ...source, modules: { ...source.modules, [file]: late } }, "locked");
    assert.match(first ?? "", /race: byte 0 of frame 0: .* are not ordered/);
  });
});
