/**
 * Who does the tasks of a simulated user, in one of the virtual threads. Transformed with the sources.
 *
 * See also: task.ts, oracle.ts (who is told), ../races/stage.ts.
 */
import { read, write } from "../../src/mapping/copy.js";
import { invalidate } from "../../src/mapping/lifetime.js";
import { pinRange, putPin } from "../../src/mapping/pin.js";
import type { PinRecord } from "../../src/mapping/pin-registry.js";
import { punchHole } from "../../src/mapping/punch.js";
import { sync } from "../../src/mapping/sync.js";
import { truncate } from "../../src/mapping/truncate.js";
import type { Actor } from "../races/stage.js";
import type { Begun, Oracle } from "./oracle.js";
import type { Task } from "./task.js";

/** What of the oracle is told. */
export type Log = Pick<Oracle, "begins" | "alsoWrites" | "ended" | "failed" | "saw">;

/** How often each thread looks for dead ones, as a timer does in programs. */
const watchMs = 250;

/** Does all tasks of some users at once. */
export async function work(actor: Actor, users: readonly (readonly Task[])[], log: Log): Promise<void> {
  watch(actor);
  await Promise.all(users.map((tasks) => serve(actor, tasks, log)));
}

function watch(actor: Actor): void {
  actor.core.clock.after(watchMs, () => {
    actor.lookForDead();
    watch(actor);
  });
}

async function serve(actor: Actor, tasks: readonly Task[], log: Log): Promise<void> {
  for (const task of tasks) {
    const begun = log.begins(task);
    const signal = task.abortAfterMs === undefined ? undefined : abortedAfter(actor, task.abortAfterMs);
    try {
      log.ended(begun, await doTask(actor, begun, log, signal));
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      if (code === undefined) throw error;
      log.failed(begun, code, message);
    }
  }
}

function abortedAfter(actor: Actor, delayMs: number): AbortSignal {
  const controller = new AbortController();
  const reason = Object.assign(new Error("aborted"), { code: "ABORT_ERR" });
  actor.core.clock.after(delayMs, () => controller.abort(reason), true);
  return controller.signal;
}

/** Bytes written, for writes. */
async function doTask(actor: Actor, begun: Begun, log: Log, signal: AbortSignal | undefined): Promise<number> {
  const { core, space } = actor;
  const { task } = begun;
  switch (task.kind) {
    case "pin to write":
    case "pin to read":
      return pinOne(actor, begun, log, signal);
    case "pin two":
      return pinTwo(actor, begun, log, signal);
    case "write":
      return write(core, space, new Uint8Array(task.length).fill(task.value), task.position, signal);
    case "read":
      return readSome(actor, begun, log, signal);
    case "sync":
      await sync(
        core,
        space,
        task.length === 0 ? { signal } : { position: task.position, length: task.length, signal },
      );
      return 0;
    case "truncate":
      await truncate(core, space, task.size, { signal });
      return 0;
    case "punch":
      await punchHole(core, space, task.position, task.length, { signal });
      return 0;
    case "invalidate":
      invalidate(core, space, task.position, task.length);
      return 0;
    case "sleep":
      await actor.sleep(task.delayMs);
      return 0;
    case "write back":
      await actor.writeBack();
      return 0;
    case "evict":
      actor.evict();
      return 0;
    case "look for dead":
      actor.lookForDead();
      return 0;
  }
}

async function pinOne(actor: Actor, begun: Begun, log: Log, signal: AbortSignal | undefined): Promise<number> {
  const { core, space } = actor;
  const { task } = begun;
  if (task.kind !== "pin to write" && task.kind !== "pin to read") return 0;
  const { position, length, longterm, holdMs } = task;
  const isWrite = task.kind === "pin to write";
  const pin = await pinRange(core, space, { position, length, write: isWrite, longterm, signal });
  const isUnused = isWrite && task.isUnused;
  for (let at = position; at < position + length; at++) {
    if (isWrite && !isUnused) store(actor, pin, at, task.value);
    else log.saw(begun, at, load(actor, pin, at));
    if (at === position && holdMs > 0) await actor.sleep(holdMs);
  }
  putPin(core, pin, isWrite && !isUnused);
  return length;
}

function store(actor: Actor, pin: PinRecord, position: number, value: number): void {
  const { pageSize } = actor.space;
  const page = Math.floor(position / pageSize);
  actor.bytes.store(pin.frames[page - pin.firstIndex] as number, position - page * pageSize, value);
}

function load(actor: Actor, pin: PinRecord, position: number): number {
  const { pageSize } = actor.space;
  const page = Math.floor(position / pageSize);
  return actor.bytes.load(pin.frames[page - pin.firstIndex] as number, position - page * pageSize);
}

async function pinTwo(actor: Actor, begun: Begun, log: Log, signal: AbortSignal | undefined): Promise<number> {
  const { core, space } = actor;
  const { task } = begun;
  if (task.kind !== "pin two") return 0;
  const scope = core.scopes.open();
  const pins: PinRecord[] = [];
  try {
    for (const page of [task.first, task.second]) {
      const position = page * space.pageSize;
      pins.push(await pinRange(core, space, { position, length: 1, write: true, signal, scope }));
    }
    for (const pin of pins) {
      log.alsoWrites(begun, pin.position, 1, task.value);
      store(actor, pin, pin.position, task.value);
    }
  } finally {
    for (const pin of pins) putPin(core, pin, pins.length === 2);
    core.scopes.close(scope);
  }
  return 2;
}

async function readSome(actor: Actor, begun: Begun, log: Log, signal: AbortSignal | undefined): Promise<number> {
  const { task } = begun;
  if (task.kind !== "read") return 0;
  const bytes = new Uint8Array(task.length);
  const count = await read(actor.core, actor.space, bytes, task.position, signal);
  for (let at = 0; at < count; at++) log.saw(begun, task.position + at, bytes[at] as number);
  return count;
}
