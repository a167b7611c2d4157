/**
 * The cache of a scenario, as its actors see it. This file and the scenarios are transformed with the sources (../transform/), and
 * run in virtual threads.
 *
 * See also: scenario.ts, ../runtime/world.ts (who sets the stage).
 */
import type { Clock } from "../../src/base/clock.js";
import { AddressSpace } from "../../src/cache/space.js";
import { Frames, type FramesShare } from "../../src/frames/frames.js";
import type { Scope } from "../../src/frames/scopes.js";
import { Core, type CoreOptions } from "../../src/mapping/core.js";
import { write } from "../../src/mapping/copy.js";
import { closeForAll, invalidate, openFile } from "../../src/mapping/lifetime.js";
import { OptimisticReader } from "../../src/mapping/optimistic.js";
import { pinRange, putPin } from "../../src/mapping/pin.js";
import type { PinRecord } from "../../src/mapping/pin-registry.js";
import { punchHole } from "../../src/mapping/punch.js";
import { sync } from "../../src/mapping/sync.js";
import { truncate } from "../../src/mapping/truncate.js";
import { verify } from "../../src/mapping/verify.js";
import { type Sight, faultForStore, lookUp } from "../../src/mapping/view-fault.js";
import { ViewTlb } from "../../src/mapping/view-tlb.js";
import type { Store } from "../../src/store/contract.js";
import { viewWindow } from "../../src/sync/view-window.js";
import { referenceProtocols } from "../reference-protocol.js";
import type { ProtocolName } from "./scenario.js";

/** Bytes of frames, where an access is a scheduling point and can be a data race. */
export interface FrameBytes {
  store(frame: number, offset: number, value: number): void;
  load(frame: number, offset: number): number;
}

/** What the runtime gives a thread. */
export interface Footing {
  readonly clock: Clock;
  readonly bytes: FrameBytes;
  readonly protocol: ProtocolName;
  readonly memoryBytes: number;
  readonly dirtyBytesMax: number;
  readonly pageSize: number;
  readonly hasViews: boolean;
  attach(): Store;
  /** What the storage has there at this moment, for assertions. */
  stored(position: number): number;
  /** What the storage has durably. */
  durable(position: number): number;
  /** Lets something happen in this thread at any time from now on. */
  later(what: string, job: () => unknown): void;
}

const optionsFor = (footing: Footing): CoreOptions => ({
  memoryBytes: footing.memoryBytes,
  pageSize: footing.pageSize,
  preTouch: false,
  dirtyBytesMax: footing.dirtyBytesMax,
  dirtyBackgroundBytes: 0,
  dirtyExpireMs: 30_000,
  writebackIntervalMs: 5_000,
  pinnedBytesMax: footing.memoryBytes,
  frameWaitMs: 1_000,
  leakedPagesMax: 8,
  durability: "device",
  writeThrough: false,
  pinSites: false,
});

/** One thread's cache and file, and what actors do with them. */
export class Actor {
  readonly core: Core;
  readonly space: AddressSpace;
  readonly bytes: FrameBytes;
  readonly isLongterm: boolean;
  /** Of a thread with mapped views. */
  readonly tlb: ViewTlb | undefined;
  readonly reader: OptimisticReader | undefined;
  readonly #footing: Footing;

  constructor(core: Core, space: AddressSpace, footing: Footing) {
    this.core = core;
    this.space = space;
    this.bytes = footing.bytes;
    this.#footing = footing;
    this.isLongterm = footing.protocol !== "locked";
    if (footing.hasViews) {
      this.tlb = new ViewTlb(core, space, () => {});
      this.reader = new OptimisticReader(core, space);
    }
    if (footing.protocol === "reference") core.protocols = referenceProtocols;
  }

  /** Pins one page under the scenario's protocol. */
  async pin(
    index: number,
    options: { write?: boolean; longterm?: boolean; signal?: AbortSignal; scope?: Scope } = {},
  ): Promise<PinRecord> {
    const { pageSize } = this.space;
    return pinRange(this.core, this.space, {
      position: index * pageSize,
      length: pageSize,
      write: options.write ?? true,
      longterm: options.longterm ?? this.isLongterm,
      signal: options.signal,
      scope: options.scope,
    });
  }

  /** As pin, for writing, a range that may be less than a page. */
  async pinBytes(position: number, length: number): Promise<PinRecord> {
    return pinRange(this.core, this.space, { position, length, write: true, longterm: this.isLongterm });
  }

  /** Pins some pages for reading. */
  async pinToRead(first: number, pages: number, signal?: AbortSignal): Promise<PinRecord> {
    const { pageSize } = this.space;
    return pinRange(this.core, this.space, {
      position: first * pageSize,
      length: pages * pageSize,
      write: false,
      longterm: this.isLongterm,
      signal,
    });
  }

  set(pin: PinRecord, offset: number, value: number): void {
    this.bytes.store(pin.frames[0] as number, offset, value);
  }

  get(pin: PinRecord, offset: number): number {
    return this.bytes.load(pin.frames[0] as number, offset);
  }

  /** Stores a byte through a mapped view, which faults where it has to. */
  storeByView(position: number, value: number): void {
    const tlb = this.tlb as ViewTlb;
    const { pageSize } = this.space;
    const at = tlb.open(position, 1);
    this.bytes.store(Math.floor(at / pageSize), at % pageSize, value);
    tlb.close();
  }

  /** Stores a byte at the end of a page and one at the beginning of the next, as ViewTlb does with a store that crosses. */
  storeAcrossByView(index: number, value: number): void {
    const { core, space } = this;
    const { frames } = core;
    const window = viewWindow(frames.wordsMemory, frames.thread, frames.hasPlainViews);
    for (;;) {
      const first = this.#sightForStore(index);
      const second = this.#sightForStore(index + 1);
      const isOpen = window.enterBoth(first.frame, first.stamp, second.frame, second.stamp);
      if (isOpen) {
        this.bytes.store(first.frame, space.pageSize - 1, value);
        this.bytes.store(second.frame, 0, value);
      }
      window.leaveBoth();
      if (isOpen) return;
    }
  }

  #sightForStore(index: number): Sight {
    const sight = { frame: 0, stamp: 0, isWritable: false, inFile: 0, granted: 0 };
    const isThere = lookUp(this.core, this.space, index, sight);
    if (!isThere || !sight.isWritable) faultForStore(this.core, this.space, index, sight);
    return sight;
  }

  loadByView(position: number): number {
    const tlb = this.tlb as ViewTlb;
    const { pageSize } = this.space;
    for (;;) {
      const at = tlb.find(position, 1);
      const value = this.bytes.load(Math.floor(at / pageSize), at % pageSize);
      if (tlb.holds(value)) return value;
      tlb.forget();
    }
  }

  /** Reads two bytes without a lock. */
  readTwo(position: number): readonly [number, number] {
    const { pageSize } = this.space;
    return (this.reader as OptimisticReader).read(position, 2, (_memory, start) => [
      this.bytes.load(Math.floor(start / pageSize), start % pageSize),
      this.bytes.load(Math.floor(start / pageSize), (start % pageSize) + 1),
    ]);
  }

  put(pin: PinRecord): void {
    putPin(this.core, pin, pin.write);
  }

  async sync(signal?: AbortSignal): Promise<void> {
    await sync(this.core, this.space, { signal });
  }

  /** When all is over: what is dirty is written, unless the file was closed. */
  async syncIfOpen(): Promise<void> {
    if (!this.space.isStale) await this.sync();
  }

  async truncate(size: number, signal?: AbortSignal): Promise<void> {
    await truncate(this.core, this.space, size, { signal });
  }

  /** Writes a whole page full of `value` with a copying write, which extends the file where it ends before. */
  async write(index: number, value: number): Promise<void> {
    const { pageSize } = this.space;
    await this.writeBytes(index * pageSize, pageSize, value);
  }

  async writeBytes(position: number, length: number, value: number): Promise<void> {
    await write(this.core, this.space, new Uint8Array(length).fill(value), position);
  }

  async punch(index: number): Promise<void> {
    const { pageSize } = this.space;
    await this.punchBytes(index * pageSize, pageSize);
  }

  async punchBytes(position: number, length: number): Promise<void> {
    await punchHole(this.core, this.space, position, length, {});
  }

  /** Drops a clean page. */
  async invalidate(index: number): Promise<void> {
    const { pageSize } = this.space;
    invalidate(this.core, this.space, index * pageSize, pageSize);
  }

  /** Ends the file for everybody. */
  async closeForAll(): Promise<void> {
    await closeForAll(this.core, this.space, false);
  }

  /** Waits for `work`; an error with one of these codes is a good answer too. Answers the code, or "". */
  async allow(codes: readonly string[], work: Promise<unknown>): Promise<string> {
    try {
      await work;
      return "";
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === undefined || !codes.includes(code)) throw error;
      return code;
    }
  }

  /** Waits for `work`, at most `delayMs` of a clock that goes on only when nobody else can. @throws Error after that time */
  within<T>(delayMs: number, work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = this.core.clock.after(delayMs, () => reject(new Error(`still waiting after ${delayMs} ms`)), true);
      work.then((answer) => {
        timer.cancel();
        resolve(answer);
      }, reject);
    });
  }

  /** Lets time pass, which it does when nobody can go on. */
  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.core.clock.after(delayMs, resolve, true);
    });
  }

  /** One round of background write-back, as for somebody who waits for a frame. */
  async writeBack(): Promise<void> {
    await this.core.flusher.step(true);
  }

  /** Takes a frame for a page, whichever page has to leave, and gives it back. */
  evict(): boolean {
    const frame = this.core.reclaimer.take();
    if (frame < 0) return false;
    this.core.table.release(frame);
    return true;
  }

  /** A signal that is aborted at any time from now on. */
  abortedSoon(): AbortSignal {
    const controller = new AbortController();
    this.#footing.later("abort", () => controller.abort(new Error("aborted")));
    return controller.signal;
  }

  /** Does something that is aborted at any time from now on, which is a good answer too. */
  async untilAborted(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const signal = this.abortedSoon();
    try {
      await work(signal);
    } catch (error) {
      if (error !== signal.reason) throw error;
    }
  }

  /** Cleans up after threads that have ended, as a timer does now and then. */
  lookForDead(): void {
    this.core.lookForDead();
  }

  /** The same, once, at any time from now on. */
  lookForDeadSoon(): void {
    this.#footing.later("look", () => this.core.lookForDead());
  }

  /** The same, once, after some time. */
  lookForDeadAfter(delayMs: number): void {
    this.core.clock.after(delayMs, () => this.core.lookForDead(), true);
  }

  /** What the storage has at this moment. */
  stored(position: number): number {
    return this.#footing.stored(position);
  }

  /** Rejects, and does not throw: whoever runs it alone has to get to his end. */
  async verify(): Promise<void> {
    verify(this.core, true);
  }

  /** A byte as the last good sync of the storage left it. */
  durable(position: number): number {
    return this.#footing.durable(position);
  }

  get rescues(): number {
    return this.core.locks.queues.rescues;
  }
}

/** The thread that sets the stage. */
export async function openStage(footing: Footing): Promise<Actor> {
  const frames = Frames.create(footing.memoryBytes, footing.pageSize, false);
  const core = new Core(optionsFor(footing), footing.clock, frames, () => footing.attach());
  const space = await openFile(core, {
    identify: () => "model",
    identity: "{}",
    open: async () => footing.attach(),
    checkOpen() {},
  });
  return new Actor(core, space, footing);
}

/** What threads need to join. */
export function shareStage({ core }: Actor, footing: Footing): FramesShare {
  return core.frames.share(footing.memoryBytes);
}

/** The thread that has set the stage leaves; the file stays open, with no opener of its own. */
export function leaveStage({ core, space }: Actor): void {
  core.directory.addOpeners(space.id, core.frames.thread, -1);
  core.frames.threads.release(core.frames.thread);
}

/** An actor's thread. */
export function joinStage(share: FramesShare, footing: Footing): Actor {
  const core = new Core(optionsFor(footing), footing.clock, Frames.attach(share), () => footing.attach());
  // As Core.adopt, which reads the file's facts first: that takes longer than many a run.
  const space = new AddressSpace(0, core.frames, footing.attach(), {
    readOnly: false,
    durability: "device",
    isRemote: false,
  });
  core.spaces[0] = space;
  core.directory.addOpeners(space.id, core.frames.thread, 1);
  return new Actor(core, space, footing);
}
