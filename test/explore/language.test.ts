/**
 * What the explorer runs does what the sources do: small programs log the same, run as they are and transformed, in a virtual thread.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Machine } from "../../explore/runtime/machine.js";
import { Modules } from "../../explore/runtime/modules.js";
import type { VirtualThread } from "../../explore/runtime/thread.js";
import { interleave } from "../../explore/transform/emit.js";
import { type Program, loop, programs } from "./programs/language.js";

const path = "test/explore/programs/language";
const source = interleave([`${path}.ts`], []);

/** Runs `work` in a thread alone, to its end. */
function runAlone(machine: Machine, work: () => unknown): void {
  machine.begin(machine.words.words.slice());
  const thread: VirtualThread = machine.addThread("A");
  machine.enter(thread);
  thread.post({ mark: 1, job: work });
  machine.run({ decide: (enabled) => 31 - Math.clz32(enabled & -enabled) });
}

describe("programs in a virtual thread", () => {
  const machine = new Machine(8, 8);
  const loaded = new Modules(source, machine, "", Object).load(`${path}.js`) as {
    programs: typeof programs;
    loop: typeof loop;
  };

  for (const [name, program] of Object.entries(programs)) {
    it(name, async () => {
      const expected: unknown[] = [];
      await program((entry) => expected.push(entry));
      const logged: unknown[] = [];
      const transformed = loaded.programs[name] as Program;
      runAlone(machine, () => transformed((entry) => logged.push(entry)));
      assert.ok(expected.length > 0);
      assert.deepEqual(logged, expected);
    });
  }

  it("what is not known to the transform is not passed over", () => {
    let seen: unknown;
    runAlone(machine, function* () {
      const promise = (yield* loaded.loop(() => {}) as unknown as Generator) as {
        catch(hear: (e: unknown) => void): void;
      };
      promise.catch((error: unknown) => {
        seen = error;
      });
    });
    assert.match(String(seen), /not explored: for await/);
  });
});
