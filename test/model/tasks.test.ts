/**
 * Several tasks at once on one file in a small cache over a store that answers late, and, in the soak test, fails now and
 * then. `PINFOLD_SOAK_S` says how long the soak goes on (default 5 s without it; `npm test` sets 30). A failure prints the seed.
 *
 * See also: shared-file.ts (what the tasks do), model.test.ts (one at a time).
 */
import { strictEqual } from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { setImmediate, setTimeout } from "node:timers/promises";
import { MemoryStore, PageCache, PinfoldError } from "../../src/index.js";
import { ScriptedStore, SeededRandom, type StoreCallName } from "../../src/testing/index.js";
import { settle } from "./settle.js";
import { type Shared, SliceTask, TailTask } from "./shared-file.js";

const tasks = 5;
const soakS = Number(process.env.PINFOLD_SOAK_S ?? 5);
const waitingCalls: StoreCallName[] = [
  "readPages",
  "writePages",
  "sync",
  "pageMkwrite",
  "setSize",
  "truncate",
  "punch",
];

interface Setting {
  readonly pageSize: number;
  readonly syncCalls: boolean;
  readonly failing: boolean;
}

interface Table extends Shared {
  readonly store: ScriptedStore;
  readonly memory: MemoryStore;
}

async function openTable(t: TestContext, random: SeededRandom, setting: Setting): Promise<Table> {
  const { pageSize, syncCalls, failing } = setting;
  const pages = 150;
  const memory = new MemoryStore({ sizeBytes: pages * pageSize });
  const store = new ScriptedStore(memory, { syncCalls });
  const cache = await PageCache.open({ memory: 64 * pageSize, pageSize, writebackIntervalMs: 5, dirtyExpireMs: 50 });
  t.after(() => cache.close({ discard: true }));
  const tailPages = 20;
  return {
    cache,
    memory,
    store,
    file: await cache.open(store),
    random,
    tasks,
    pages,
    tailPages,
    bytes: new Uint8Array((pages + tailPages + 4) * pageSize),
    size: pages * pageSize,
    mayFail: new Set(failing ? ["EIO", "ENOSPC"] : []),
    failures: new Map(),
  };
}

/** Calls answer after some turns of the event loop; some fail, where that is asked for. */
function disturb({ store, random }: Table, failing: boolean): void {
  for (const name of waitingCalls) {
    store.on(name, {
      async before() {
        for (let turns = random.below(4); turns > 0; turns--) await setImmediate();
        if (random.below(50) === 0) await setTimeout(random.below(5));
        if (failing && random.below(60) === 0)
          throw new PinfoldError(name === "pageMkwrite" ? "ENOSPC" : "EIO", `scripted failure of ${name}`);
      },
    });
  }
}

async function oneRound(table: Table, setting: Setting, steps: number): Promise<void> {
  disturb(table, setting.failing);
  const workers = Array.from({ length: tasks }, (_, number) => new SliceTask(table, number));
  const tail = new TailTask(table);
  // Without it every task could be waiting for frames while background write-back waits after an error.
  const syncs = setInterval(() => void table.file.sync().catch(() => {}), 20);
  await Promise.all(
    [...workers, tail].map(async (worker) => {
      for (let done = 0; done < steps; done++) {
        await worker.step();
        if (table.random.below(100) === 0) table.cache.verify();
      }
    }),
  );
  clearInterval(syncs);
  for (const worker of workers) worker.end();
  table.store.clear();
  await table.file.sync();
  await settle(table.cache);
  table.cache.verify({ quiesce: true });
  const stored = table.memory.snapshot();
  strictEqual(stored.length, table.size, "the size of the storage");
  strictEqual(Buffer.compare(stored, table.bytes.subarray(0, table.size)), 0, "the storage has what the tasks wrote");
  strictEqual(table.memory.usage().reservedBlocks, 0, "nothing stays reserved");
}

async function run(t: TestContext, setting: Setting, goOn: (round: number) => boolean, steps: number): Promise<void> {
  const seed =
    process.env.PINFOLD_SEED === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(process.env.PINFOLD_SEED);
  const table = await openTable(t, new SeededRandom(seed), setting);
  let round = 0;
  try {
    for (; goOn(round); round++) await oneRound(table, setting, steps);
  } catch (error) {
    throw new Error(`round ${round} failed; PINFOLD_SEED=${seed}: ${(error as Error).message}`, { cause: error });
  }
  t.diagnostic(`seed ${seed}, ${round} rounds, failures met: ${JSON.stringify([...table.failures])}`);
}

test("tasks on one file do not disturb each other's bytes, pages of 4 KiB", async (t) => {
  await run(t, { pageSize: 4096, syncCalls: true, failing: false }, (round) => round < 4, 400);
});

test("tasks on one file do not disturb each other's bytes, pages of 64 KiB, a store without sync calls", async (t) => {
  await run(t, { pageSize: 65_536, syncCalls: false, failing: false }, (round) => round < 2, 300);
});

test("a store that fails now and then loses nothing (soak)", async (t) => {
  const untilMs = Date.now() + soakS * 1000;
  await run(
    t,
    { pageSize: 4096, syncCalls: false, failing: true },
    (round) => round === 0 || Date.now() < untilMs,
    200,
  );
});
