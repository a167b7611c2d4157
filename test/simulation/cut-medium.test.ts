/** The simulated medium: what a power cut may leave of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CutMedium, sectorBytes } from "../../explore/simulation/cut-medium.js";
import { SeededRandom } from "../../src/base/seeded.js";

const plan = { blocks: 4, blockBytes: 8, pageBytes: 16, capacity: 4 };

function grant(medium: CutMedium, position: number, length: number): void {
  assert.ok(medium.grant({ position, length, pageSize: 16, blocks: new Uint32Array(2) }));
}

/** All that power cuts leave after `work`, with many seeds: size and the first byte of each sector. */
function outcomes(work: (medium: CutMedium) => void): Set<string> {
  const found = new Set<string>();
  for (let seed = 1; seed <= 200; seed++) {
    const medium = new CutMedium(plan);
    work(medium);
    medium.powerCut(new SeededRandom(seed));
    const firsts = Array.from(
      { length: Math.ceil(medium.size / sectorBytes) },
      (_, at) => medium.bytes[at * sectorBytes],
    );
    found.add(`${medium.size}: ${firsts.join(" ")}`);
    assert.deepEqual(medium.durable, medium.bytes, "what is left is durable");
  }
  return found;
}

function writeAll(medium: CutMedium, value: number, length = 8): void {
  grant(medium, 0, length);
  medium.write(0, [new Uint8Array(length).fill(value)]);
}

test("what was not synced is old or new, each sector for itself", () => {
  const found = outcomes((medium) => {
    writeAll(medium, 1);
    medium.noteDurable(medium.image());
    writeAll(medium, 2);
  });
  assert.deepEqual([...found].sort(), ["8: 1 1", "8: 1 2", "8: 2 1", "8: 2 2"]);
});

test("what a good sync has covered is there, and what came after its beginning may be", () => {
  const found = outcomes((medium) => {
    writeAll(medium, 1);
    const image = medium.image();
    writeAll(medium, 2);
    medium.noteDurable(image);
  });
  assert.ok(found.has("8: 1 2") && found.has("8: 2 2"));
  assert.ok([...found].every((one) => one.startsWith("8:") && !one.includes("0")));
});

test("a cut comes with its size or not at all", () => {
  const found = outcomes((medium) => {
    writeAll(medium, 1);
    medium.noteDurable(medium.image());
    medium.truncate(4);
  });
  assert.deepEqual([...found].sort(), ["4: 1", "8: 1 1"]);
});

test("a failed sync drops what was written since the last good one, and says so", () => {
  const medium = new CutMedium(plan);
  let lost = 0;
  medium.onLost = () => lost++;
  writeAll(medium, 1);
  medium.noteDurable(medium.image());
  writeAll(medium, 2);
  medium.loseVolatile();
  assert.deepEqual([lost, medium.bytes[0]], [1, 1]);
});

test("when the process ends, reservations are free and bytes stay, which the power may still take", () => {
  const medium = new CutMedium(plan);
  writeAll(medium, 1);
  grant(medium, 16, 16);
  assert.equal(medium.freeBlocks, 1);
  medium.processEnds();
  assert.deepEqual([medium.freeBlocks, medium.bytes[0], medium.openSectors > 0], [3, 1, true]);
});
