/**
 * A store in memory that loses what was not synced when a sync fails, as a disk with a volatile cache may, and whose writes take a
 * while, during which the bytes that it was given must not change.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { PinfoldError } from "../../src/index.js";
import type { MemoryStore } from "../../src/index.js";
import { ScriptedStore, type StoreCall } from "../../src/testing/index.js";
import type { Random } from "./torture-page.js";

const blockSize = 4096;

export interface ForgetfulStore {
  readonly store: ScriptedStore;
  /** Writes whose bytes changed while they were on their way. */
  readonly unstable: string[];
  /** Syncs that failed. */
  readonly failures: () => number;
  /** From now on all syncs work. */
  heal(): void;
}

/** One sync in `failEvery` fails. `durable` has what the last one that did not has made durable. */
export function forgetful(inner: MemoryStore, durable: Uint8Array, random: Random, failEvery: number): ForgetfulStore {
  const store = new ScriptedStore(inner);
  /** What blocks were before the writes that no sync has covered yet. */
  const before = new Map<number, Uint8Array>();
  const unstable: string[] = [];
  let failures = 0;
  let healed = false;

  const remember = ({ position, length }: StoreCall) => {
    for (let at = Math.floor(position / blockSize); at * blockSize < position + length; at++) {
      if (before.has(at)) continue;
      const bytes = new Uint8Array(blockSize);
      inner.readPagesSync(at * blockSize, [bytes]);
      before.set(at, bytes);
    }
  };
  /** What was cut is not remembered; of a block that was cut in part, the rest is. */
  const forgetFrom = (from: number, to: number) => {
    durable.fill(0, from, Math.min(to, durable.length));
    for (const [at, bytes] of [...before]) {
      const start = Math.max(0, from - at * blockSize);
      const end = Math.min(blockSize, to - at * blockSize);
      if (start >= end) continue;
      if (start === 0 && end === blockSize) before.delete(at);
      else bytes.fill(0, start, end);
    }
  };
  const keep = () => {
    for (const at of before.keys()) {
      const end = Math.min((at + 1) * blockSize, durable.length);
      if (end > at * blockSize) inner.readPagesSync(at * blockSize, [durable.subarray(at * blockSize, end)]);
    }
    before.clear();
  };
  const mayFail = () => {
    if (healed || !random.isOneIn(failEvery)) return;
    failures += 1;
    for (const [at, bytes] of before) inner.writePagesSync(at * blockSize, [bytes]);
    before.clear();
    throw new PinfoldError("EIO", "the disk's cache was lost");
  };

  store.on("writePages", {
    before: async (call) => {
      const copies = call.buffers.map((buffer) => buffer.slice());
      await sleep(random.below(3));
      const isSame = call.buffers.every((buffer, at) => Buffer.compare(buffer, copies[at] as Uint8Array) === 0);
      if (!isSame) unstable.push(`bytes at ${call.position} changed while they were written`);
    },
  });
  // All takes a while, so that others come in between.
  const rest = () => (random.isOneIn(2) ? sleep(random.below(3)) : undefined);
  for (const name of ["readPages", "punch", "truncate", "sync"] as const) store.on(name, { before: rest });
  for (const name of ["writePages", "writePagesSync"] as const) store.on(name, { before: remember });
  for (const name of ["sync", "syncSync"] as const) store.on(name, { before: mayFail, after: keep });
  store.on("truncate", { before: ({ position }) => forgetFrom(position, Number.POSITIVE_INFINITY) });
  store.on("punch", { before: ({ position, length }) => forgetFrom(position, position + length) });
  return { store, unstable, failures: () => failures, heal: () => void (healed = true) };
}
