/**
 * The modelled storage: one medium for all threads, and requests that end whenever the search says so, in any order, or fail.
 *
 * The medium is the memory store that ships, strict: a write of a block that was not granted is an error of the cache. What a store
 * may answer at once (leave to write, grants given back) changes it at a point of its own.
 *
 * Invariant: the bytes of a write are the same at its beginning and at its end, else the run is a violation (R13).
 */
import { Violation } from "../search/subject.js";
import type { MkwriteRequest, Store, SyncRequest } from "../../src/store/contract.js";
import type { MemoryStore } from "../../src/stores/memory/memory-store.js";
import { type Machine, diskBit, failBit } from "./machine.js";
import { OwnPromise } from "./promises.js";
import type { Play } from "./play.js";
import type { VirtualThread } from "./thread.js";

/** Requests under way at once; more would not fit the alternatives. */
const requestsMax = failBit - diskBit;

export interface DiskOptions {
  /** Requests that may fail, in one run. */
  readonly failuresMax: number;
  /** Leave to write comes later, as that of a store which has to ask somebody. */
  readonly grantsLater: boolean;
}

export interface DiskRequest {
  readonly what: string;
  readonly slot: number;
}

export class Disk {
  readonly machine: Machine;
  readonly medium: MemoryStore;
  readonly #options: DiskOptions;
  readonly #error: (code: string, message: string) => Error;
  readonly #busy: boolean[] = [];
  #failures = 0;
  /** Requests of each thread, for its history. */
  readonly #sequence: number[] = [];
  #version = 0;
  #hashed = -1;
  #hash = 0;
  /** While nobody else runs, requests end at once. */
  isPrompt = false;
  /** What the medium had after the last good sync. */
  durable: Uint8Array;

  constructor(machine: Machine, medium: MemoryStore, options: DiskOptions, error: (code: string, message: string) => Error) {
    this.machine = machine;
    this.medium = medium;
    this.#options = options;
    this.#error = error;
    this.durable = medium.snapshot();
  }

  /** Of all that the medium has. */
  get hash(): number {
    if (this.#hashed === this.#version) return this.#hash;
    let hash = 17;
    const { reservedBlocks, allocatedBlocks } = this.medium.usage();
    for (const byte of this.medium.snapshot()) hash = Math.imul(hash ^ byte, 0x01000193);
    hash = Math.imul(hash ^ (reservedBlocks * 64 + allocatedBlocks), 0x01000193);
    for (const byte of this.durable) hash = Math.imul(hash ^ byte, 0x01000193);
    hash = Math.imul(hash ^ this.#failures, 0x01000193);
    this.#hashed = this.#version;
    this.#hash = hash;
    return hash;
  }

  /** Something that happens at once, and that other threads can notice. */
  touch<T>(what: string, work: () => T): Play<T> {
    return this.machine.operation(this.machine.extra(0), true, () => what, () => {
      this.#version++;
      return work();
    });
  }

  request(what: string, work: () => void): OwnPromise {
    const { machine } = this;
    const promise = new OwnPromise();
    const thread = machine.current as VirtualThread;
    const number = (this.#sequence[thread.number] = (this.#sequence[thread.number] ?? 0) + 1);
    const end = (mark: number, then: () => void) => {
      this.#version++;
      thread.post({ mark: mark + number, job: then });
    };
    const succeed = () => {
      try {
        work();
      } catch (error) {
        if (error instanceof Violation) throw error;
        end(0x5000, () => promise.reject(error));
        return;
      }
      end(0x3000, () => promise.resolve(undefined));
    };
    if (this.isPrompt) {
      succeed();
      return promise;
    }
    const slot = this.#takeSlot();
    const done = (isFailed: boolean) => {
      this.#busy[slot] = false;
      machine.outside = machine.outside.filter((one) => one.alternative !== failBit + slot && one.alternative !== diskBit + slot);
      machine.onTrace?.({ thread: isFailed ? failBit : diskBit, site: -1, what: isFailed ? `${what} fails` : what });
      if (!isFailed) succeed();
      else {
        this.#failures++;
        end(0x6000, () => promise.reject(this.#error("EIO", `${what} failed`)));
      }
    };
    machine.outside.push({ alternative: diskBit + slot, happen: () => done(false) });
    if (this.#failures < this.#options.failuresMax)
      machine.outside.push({ alternative: failBit + slot, happen: () => done(true) });
    return promise;
  }

  #takeSlot(): number {
    for (let slot = 0; slot < requestsMax; slot++) {
      if (this.#busy[slot]) continue;
      this.#busy[slot] = true;
      return slot;
    }
    throw new Error(`more than ${requestsMax} requests at once`);
  }

  get grantsLater(): boolean {
    return this.#options.grantsLater;
  }
}

/** The storage as one thread has it. */
export class ModelStore {
  readonly capabilities: Store["capabilities"];
  readonly key = "model";
  readonly name = "model";
  readonly #disk: Disk;

  constructor(disk: Disk) {
    this.#disk = disk;
    this.capabilities = { ...disk.medium.capabilities, syncCalls: false };
  }

  get sizeBytes(): number {
    return this.#disk.medium.sizeBytes;
  }

  share(): string {
    return "model";
  }

  readPages(position: number, buffers: readonly Uint8Array[]): OwnPromise {
    return this.#disk.request(`read ${position}`, () => this.#disk.medium.readPagesSync(position, buffers));
  }

  writePages(position: number, buffers: readonly Uint8Array[]): OwnPromise {
    const before = buffers.map((buffer) => buffer.slice());
    return this.#disk.request(`write ${position}`, () => {
      if (before.some((bytes, at) => bytes.some((byte, i) => byte !== buffers[at]?.[i])))
        throw new Violation("race", `bytes at ${position} changed while the store was writing them`);
      this.#disk.medium.writePagesSync(position, buffers);
    });
  }

  pageMkwrite(request: MkwriteRequest): unknown {
    if (this.#disk.grantsLater)
      return this.#disk.request(`mkwrite ${request.position}`, () => this.#disk.medium.pageMkwriteSync(request));
    return this.#disk.touch(`pageMkwrite ${request.position}`, () => this.#disk.medium.pageMkwriteSync(request));
  }

  cancelMkwrite(position: number, pageSize: number, blocks: number): Play<void> {
    return this.#disk.touch(`cancelMkwrite ${position}`, () => this.#disk.medium.cancelMkwrite(position, pageSize, blocks));
  }

  setPageDirty(position: number, pageSize: number): Play<void> {
    return this.#disk.touch(`setPageDirty ${position}`, () => this.#disk.medium.setPageDirty(position, pageSize));
  }

  sync(_request: SyncRequest): OwnPromise {
    const { medium } = this.#disk;
    const taken = medium.snapshot();
    return this.#disk.request("sync", () => {
      this.#disk.durable = taken;
    });
  }

  setSize(size: number): Play<void> {
    return this.#disk.touch(`setSize ${size}`, () => this.#disk.medium.setSize(size));
  }

  invalidatePages(from: number, to: number): Play<void> {
    return this.#disk.touch(`invalidatePages ${from}`, () => this.#disk.medium.invalidatePages(from, to));
  }

  releasePage(position: number, pageSize: number): boolean {
    return this.#disk.medium.releasePage(position, pageSize);
  }

  truncate(size: number): OwnPromise {
    return this.#disk.request(`truncate ${size}`, () => this.#settled(this.#disk.medium.truncate(size)));
  }

  punch(position: number, length: number): OwnPromise {
    return this.#disk.request(`punch ${position}+${length}`, () => this.#settled(this.#disk.medium.punch(position, length)));
  }

  close(): OwnPromise {
    return this.#disk.request("close", () => this.#settled(this.#disk.medium.close()));
  }

  /** The transformed medium answers a generator for an async function that awaits nothing. */
  #settled(made: unknown): void {
    const promise = this.#disk.machine.nowIfAny(made) as OwnPromise;
    promise.isHandled = true;
    if (promise.state === "rejected") throw promise.value;
  }
}
