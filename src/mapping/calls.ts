/**
 * Calls to a store that stays in the thread that opened it (one that cannot be shared): the other threads ask that thread.
 *
 * A call is a waiter on the file's calls record (so that it ends by grant, abort or death like any wait, blocking or not) and a
 * message that names it. The store's thread does the whole operation, as its own: it loads pages into frames that it owns, takes the
 * locks, syncs. Only leave to write is asked for pages that the asker has locked, and entered for him.
 *
 * Invariants: an answer goes to the wait that asked, told by the number in its node, or to nobody. What a thread was doing for others
 * when it dies is ended with their waits: the file has lost its store then (recovery.ts).
 */
import { PinfoldError, codeNumber, toPinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { Mailbox } from "../base/mailbox.js";
import { newNumber } from "../base/random.js";
import type { AddressSpace } from "../cache/space.js";
import type { BlockingOwner } from "../frames/blocked-waits.js";
import * as layout from "../sync/layout.js";
import { write } from "./copy.js";
import type { Core } from "./core.js";
import { checkOpen } from "./fault.js";
import { closeStore } from "./lifetime.js";
import { type ChangeRange, grantFor } from "./grant.js";
import { flushPage } from "./pin-changes.js";
import { allocate, punchHole } from "./punch.js";
import { sync, writeThrough } from "./sync.js";
import { truncate } from "./truncate.js";
import { loadRange } from "./try-pin.js";

/** What can be asked. Positions and lengths in bytes. */
export type StoreCall =
  | { readonly op: "load"; readonly first: number; readonly last: number }
  | { readonly op: "grant"; readonly first: number; readonly frames: readonly number[]; readonly range: ChangeRange }
  | {
      readonly op: "sync";
      readonly position?: number | undefined;
      readonly length?: number | undefined;
      readonly pinned?: "wait" | "fail" | undefined;
      readonly data?: boolean | undefined;
    }
  | { readonly op: "truncate"; readonly length: number; readonly pinned?: "wait" | "fail" | undefined }
  | { readonly op: "punch" | "allocate"; readonly position: number; readonly length: number }
  | { readonly op: "write"; readonly position: number; readonly bytes: Uint8Array }
  | { readonly op: "writeThrough"; readonly position: number; readonly length: number }
  | { readonly op: "flushPage"; readonly frame: number; readonly index: number }
  | { readonly op: "flush"; readonly urgent: boolean }
  | { readonly op: "reclaim" }
  | { readonly op: "close"; readonly discard: boolean };

interface Message {
  /** The slot of who asks, and the node and number of its wait; node -1: nobody waits for an answer. */
  readonly from: number;
  readonly node: number;
  readonly number: number;
  readonly mapping: number;
  readonly generation: number;
  /** None: the call with that number was given up. */
  readonly call?: StoreCall;
}

/** Numbers of calls: as many as fit a node's word, beside the slot of who asks. A slot's next thread begins somewhere else. */
const numbersMax = 2 ** 27;

export class StoreCalls {
  readonly #core: Core;
  readonly #mailboxes = new Map<string, Mailbox>();
  readonly #answering = new Map<string, AbortController>();
  #own: Mailbox | undefined;
  #last = newNumber() % numbersMax;
  #askedMs = 0;

  constructor(core: Core) {
    this.#core = core;
  }

  #nameOf(slot: number): string {
    const { shared, threads } = this.#core.frames;
    return `pinfold:${shared.load(layout.HEADER_CACHE)}:${slot}:${threads.generation(slot)}`;
  }

  /** Calls of other threads that this one is answering. */
  get answering(): number {
    return this.#answering.size;
  }

  /** This thread has a store that others may ask for. */
  listen(): void {
    this.#own ??= new Mailbox(
      this.#nameOf(this.#core.frames.thread),
      (message) => void this.#answer(message as Message),
    );
  }

  /** This thread leaves. */
  close(): void {
    this.#own?.close();
    for (const mailbox of this.#mailboxes.values()) mailbox.close();
    this.#mailboxes.clear();
  }

  #send(space: AddressSpace, message: Message): void {
    const name = this.#nameOf(this.#core.directory.storeThread(space.id));
    let mailbox = this.#mailboxes.get(name);
    if (!mailbox) {
      mailbox = new Mailbox(name);
      this.#mailboxes.set(name, mailbox);
    }
    mailbox.send(message);
  }

  #message(space: AddressSpace, node: number, number: number, call: StoreCall | undefined): Message {
    const message = { from: this.#core.frames.thread, node, number, mapping: space.id, generation: space.generation };
    return call ? { ...message, call } : message;
  }

  /** Joins the file's calls. @throws PinfoldError EBADF, EIO, ERR_PINFOLD_TOO_MANY */
  #join(space: AddressSpace): { node: number; number: number; record: number } {
    const { frames } = this.#core;
    if (space.state !== layout.MAPPING_CLOSING) checkOpen(space);
    const record = frames.lockRecord(space.id, layout.LOCK_CALLS);
    this.#last = (this.#last + 1) % numbersMax;
    const number = this.#last * layout.THREADS_MAX + frames.thread;
    let node: number;
    do node = frames.words.enqueue(record, space.id, layout.LOCK_CALLS, layout.MODE_NOTIFY, frames.thread, number);
    while (node === layout.LOST);
    if (node < 0) throw new PinfoldError("ERR_PINFOLD_TOO_MANY", `${limits.waitersMax} tasks wait already`);
    // The store's thread may have died since it was looked at: those who waited then were told, this one was not among them.
    if (space.state === layout.MAPPING_ORPHANED && this.#core.locks.queues.leave(node, record)) checkOpen(space);
    return { node, number, record };
  }

  /** @throws PinfoldError what the call failed with in the store's thread; EIO if that thread ends; the signal's reason */
  async ask(space: AddressSpace, call: StoreCall, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const { node, number, record } = this.#join(space);
    this.#send(space, this.#message(space, node, number, call));
    try {
      await this.#core.locks.queues.wait(node, record, layout.MODE_NOTIFY, { signal });
    } catch (error) {
      if (signal?.aborted) this.#send(space, this.#message(space, -1, number, undefined));
      throw error;
    }
  }

  /** As ask, blocking this thread. @throws PinfoldError as ask; EDEADLK where the store's thread waits for this one */
  askBlocking(space: AddressSpace, call: StoreCall, owner: BlockingOwner = {}): void {
    const { node, number, record } = this.#join(space);
    this.#send(space, this.#message(space, node, number, call));
    this.#core.locks.blocked.wait(node, record, layout.MODE_NOTIFY, owner);
  }

  /** As ask, without waiting for an end: a hint. */
  tell(space: AddressSpace, call: StoreCall): void {
    this.#send(space, this.#message(space, -1, 0, call));
  }

  /** Nobody else can let the pages of a store that stays in its thread go: those threads are asked for frames. */
  askForFrames(): void {
    const nowMs = this.#core.clock.nowMs();
    if (nowMs - this.#askedMs < limits.leavingPauseMs * 10) return;
    this.#askedMs = nowMs;
    const asked = new Set<number>();
    for (const space of this.#core.openSpaces()) {
      const thread = this.#core.directory.storeThread(space.id);
      if (!space.isRemote || space.residentPages === 0 || asked.has(thread)) continue;
      asked.add(thread);
      this.tell(space, { op: "reclaim" });
    }
  }

  async #answer(message: Message): Promise<void> {
    const { from, node, number, mapping, generation, call } = message;
    const name = `${from}:${number}`;
    if (!call) {
      this.#answering.get(name)?.abort();
      return;
    }
    const abort = new AbortController();
    if (node >= 0) this.#answering.set(name, abort);
    let result = 0;
    try {
      const space = this.#core.space(mapping);
      if (!space || space.generation !== generation || space.isRemote)
        throw new PinfoldError("EBADF", "the file was closed");
      await this.#do(space, call, from, abort.signal);
    } catch (error) {
      result = codeNumber(toPinfoldError(error, call.op).code);
    }
    this.#answering.delete(name);
    if (node >= 0) this.#reply(mapping, message, result);
  }

  #reply(mapping: number, { from, node, number }: Message, result: number): void {
    const { words, shared, threads } = this.#core.frames;
    const record = this.#core.frames.lockRecord(mapping, layout.LOCK_CALLS);
    let answer: number;
    do answer = words.answer(node, record, number, result);
    while (answer === layout.LOST);
    if (answer === layout.OK) shared.ring(threads.at(from, layout.THREAD_DOORBELL));
  }

  async #do(space: AddressSpace, call: StoreCall, asker: number, signal: AbortSignal): Promise<void> {
    const core = this.#core;
    switch (call.op) {
      case "load":
        return loadRange(core, space, call.first, call.last, signal);
      case "grant":
        return grantFor(core, space, { first: call.first, frames: [...call.frames] }, call.range, asker);
      case "sync":
        return sync(core, space, { ...call, signal });
      case "truncate":
        return truncate(core, space, call.length, { pinned: call.pinned, signal });
      case "punch":
        return punchHole(core, space, call.position, call.length, { signal });
      case "allocate":
        return allocate(core, space, call.position, call.length);
      case "write":
        return writeAll(core, space, call.bytes, call.position, signal);
      case "writeThrough":
        return writeThrough(core, space, call.position, call.length);
      case "flushPage":
        return flushPage(core, space, call, signal, asker);
      case "flush":
        return core.flusher.flushOne(space, call.urgent);
      case "reclaim":
        return giveFrames(core);
      case "close":
        return closeStore(core, space, call.discard);
    }
  }
}

/** Frames of clean pages become free, for whoever waits for some. */
function giveFrames(core: Core): void {
  for (let given = 0; given < limits.reclaimBatch; given++) {
    const frame = core.reclaimer.take();
    if (frame < 0) return;
    core.table.release(frame);
  }
}

async function writeAll(
  core: Core,
  space: AddressSpace,
  bytes: Uint8Array,
  position: number,
  signal: AbortSignal,
): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += await write(core, space, bytes.subarray(done), position + done, signal);
  }
}
