/**
 * The modelled storage: one medium for all threads, and requests that end whenever the search says so, in any order, or fail.
 *
 * What a store may answer at once (leave to write, grants given back) changes the medium at a point of its own.
 *
 * Invariant: the bytes of a write are the same at its beginning and at its end, else the run is a violation (R13).
 */
import { Violation } from "../search/subject.js";
import type { MkwriteRequest, Store, SyncRequest } from "../../src/store/contract.js";
import type { Machine } from "./machine.js";
import { diskBit, eventBit, failBit } from "./scheduler.js";
import type { Image, Medium } from "./medium.js";
import type { FrameBytes } from "./frame-bytes.js";
import { hashOfBytes, hashOfNumbers } from "./hash.js";
import { blockBytes } from "./modules.js";
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
  /** Where no more requests can be told apart, the next one ends at once. Without it the run has gone wrong. */
  readonly endsBeyond?: boolean;
}

/** What a request does. */
interface RequestSteps {
  /** Takes what is handed over, and answers a hash of it. */
  readonly begin: () => number;
  /** Does it when it ends, and answers a hash of what the thread learns by that. */
  readonly work: () => number | void;
  /** When it ends with an error. */
  readonly fail: () => void;
  /** Which other requests may be under way meanwhile (../../src/store/contract.ts, invalidate lock). Default "any". */
  readonly beside: Beside;
}

/** "exclusive": neither of the two others; "shared": not an exclusive one. */
type Beside = "any" | "shared" | "exclusive";

export class Disk {
  readonly machine: Machine;
  readonly medium: Medium;
  readonly #frames: FrameBytes;
  readonly #options: DiskOptions;
  readonly #error: (code: string, message: string) => Error;
  readonly #busy: boolean[] = [];
  #failures = 0;
  /** Requests under way. */
  #shared = 0;
  #exclusive = 0;
  /** Requests of each thread, for its history. */
  readonly #sequence: number[] = [];
  /** While nobody else runs, requests end at once. */
  isPrompt = false;

  constructor(
    { machine, medium, frames }: { machine: Machine; medium: Medium; frames: FrameBytes },
    options: DiskOptions,
    error: (code: string, message: string) => Error,
  ) {
    this.machine = machine;
    this.medium = medium;
    this.#frames = frames;
    this.#options = options;
    this.#error = error;
  }

  /** Of the medium, and of what else decides about requests. */
  get hash(): number {
    return Math.imul(this.medium.hash ^ this.#failures, 0x01000193);
  }

  /** A new run: nothing is under way. */
  begin(): void {
    this.isPrompt = false;
    this.#busy.length = 0;
    this.#sequence.length = 0;
    this.#failures = 0;
    this.#shared = 0;
    this.#exclusive = 0;
  }

  error(code: string, message: string): Error {
    return this.#error(code, message);
  }

  /** The cache's locks keep these apart, and a store relies on that. @throws Violation */
  #checkBeside(what: string, beside: Beside): void {
    if (beside === "any" || (this.#exclusive === 0 && (beside === "shared" || this.#shared === 0))) return;
    const other = this.#exclusive > 0 ? "a cut or a punch is" : "a read, a write or a grant is";
    this.machine.fail(new Violation("race", `${what} begins while ${other} under way`));
  }

  #countBeside(beside: Beside, change: number): void {
    if (beside === "shared") this.#shared += change;
    if (beside === "exclusive") this.#exclusive += change;
  }

  /** Something that happens at once, and that other threads can notice. `work` answers a hash of what the thread learns by it. */
  touch(what: string, work: () => number | void, beside: Beside = "any"): Play<void> {
    const { machine } = this;
    return machine.operation(
      machine.extra(0),
      true,
      () => what,
      () => {
        machine.buffers?.fence();
        this.#checkBeside(what, beside);
        try {
          machine.learn(work() ?? 0);
        } catch (error) {
          if (error instanceof Violation) machine.fail(error);
          machine.learn(-1);
          throw error;
        }
      },
    );
  }

  /** The operation that is done looks at these bytes: a hash of them. */
  look(buffers: readonly Uint8Array[]): number {
    return this.#frames.look(buffers);
  }

  /** The request that ends has looked at these bytes, or changed them. */
  transferred(buffers: readonly Uint8Array[], changes: boolean): void {
    this.#frames.transferred(buffers, changes);
  }

  *request(what: string, work: () => number | void, more: Partial<RequestSteps> = {}): Play<OwnPromise> {
    const { machine } = this;
    return yield* machine.operation(
      machine.extra(0),
      true,
      () => `${what} begins`,
      () => this.#begun(what, { begin: () => 0, work, fail() {}, beside: "any", ...more }),
    );
  }

  #begun(what: string, { begin, work, fail, beside }: RequestSteps): OwnPromise {
    const { machine } = this;
    machine.buffers?.fence();
    this.#checkBeside(what, beside);
    this.#countBeside(beside, 1);
    const handed = begin();
    const promise = new OwnPromise();
    const thread = machine.current as VirtualThread;
    const number = (this.#sequence[thread.number] = (this.#sequence[thread.number] ?? 0) + 1);
    thread.requests++;
    const slot = this.isPrompt ? -1 : this.#takeSlot();
    const carrier = slot < 0 ? undefined : machine.races?.start(diskBit + slot);
    const end = (mark: number, then: () => void) => {
      thread.requests--;
      this.#countBeside(beside, -1);
      thread.post({ mark: mark + number, job: machine.races?.told(carrier, then) ?? then });
    };
    const succeed = () => {
      try {
        const learnt = (machine.races ? machine.races.during(carrier, work) : work()) ?? 0;
        end(0x3000 ^ (learnt << 8), () => promise.resolve(undefined));
      } catch (error) {
        if (error instanceof Violation) machine.fail(error);
        end(0x5000, () => promise.reject(error));
      }
    };
    if (slot < 0) {
      succeed();
      return promise;
    }
    const done = (isFailed: boolean) => {
      this.#busy[slot] = false;
      this.#forget((alternative) => alternative === failBit + slot || alternative === diskBit + slot);
      machine.onTrace?.({ thread: isFailed ? failBit : diskBit, site: -1, what: isFailed ? `${what} fails` : what });
      if (!isFailed) succeed();
      else {
        this.#failures++;
        fail();
        if (this.#failures >= this.#options.failuresMax)
          this.#forget((alternative) => alternative >= failBit && alternative < eventBit);
        end(0x6000, () => promise.reject(this.#error("EIO", `${what} failed`)));
      }
    };
    const mark = (thread.number * 256 + number) ^ (handed << 8);
    machine.outside.push({ alternative: diskBit + slot, mark, happen: () => done(false) });
    if (this.#failures < this.#options.failuresMax)
      machine.outside.push({ alternative: failBit + slot, mark, happen: () => done(true) });
    return promise;
  }

  /** What would have happened does not any more. */
  #forget(isOver: (alternative: number) => boolean): void {
    this.machine.outside = this.machine.outside.filter(({ alternative }) => !isOver(alternative));
  }

  #takeSlot(): number {
    for (let slot = 0; slot < requestsMax; slot++) {
      if (this.#busy[slot]) continue;
      this.#busy[slot] = true;
      return slot;
    }
    if (this.#options.endsBeyond) return -1;
    return this.machine.fail(new Error(`more than ${requestsMax} requests at once`));
  }

  get grantsLater(): boolean {
    return this.#options.grantsLater;
  }
}

/** The storage as one thread has it. */
export class ModelStore {
  readonly capabilities: Store["capabilities"] = {
    reserves: "data",
    punchesHoles: true,
    atomicCommits: false,
    readOnly: false,
    syncCalls: false,
    blockSize: blockBytes,
  };
  readonly key = "model";
  readonly name = "model";
  readonly #disk: Disk;
  readonly #medium: Medium;

  constructor(disk: Disk) {
    this.#disk = disk;
    this.#medium = disk.medium;
  }

  get sizeBytes(): number {
    return this.#medium.size;
  }

  share(): string {
    return "model";
  }

  readPages(position: number, buffers: readonly Uint8Array[]): Play<OwnPromise> {
    const read = () => {
      this.#medium.read(position, buffers);
      this.#disk.transferred(buffers, true);
      return hashOfBytes(buffers);
    };
    return this.#disk.request(`read ${position}`, read, { beside: "shared" });
  }

  writePages(position: number, buffers: readonly Uint8Array[]): Play<OwnPromise> {
    let before: readonly Uint8Array[] = [];
    const what = `write ${position}`;
    const write = () => {
      if (before.some((bytes, at) => bytes.some((byte, i) => byte !== buffers[at]?.[i])))
        throw new Violation("race", `bytes at ${position} changed while the store was writing them`);
      this.#disk.transferred(buffers, false);
      this.#medium.write(position, buffers);
    };
    const begin = () => {
      before = buffers.map((buffer) => buffer.slice());
      return this.#disk.look(buffers);
    };
    return this.#disk.request(what, write, { begin, beside: "shared" });
  }

  pageMkwrite(request: MkwriteRequest): unknown {
    const what = `pageMkwrite ${request.position}`;
    const grant = () => {
      if (!this.#medium.grant(request)) throw this.#disk.error("ENOSPC", `${what}: no space`);
      return hashOfNumbers(request.blocks);
    };
    const beside = "shared";
    return this.#disk.grantsLater ? this.#disk.request(what, grant, { beside }) : this.#disk.touch(what, grant, beside);
  }

  cancelMkwrite(position: number, pageSize: number, blocks: number): Play<void> {
    return this.#disk.touch(`cancelMkwrite ${position}`, () => this.#medium.cancel(position, pageSize, blocks));
  }

  setPageDirty(position: number, pageSize: number): Play<void> {
    return this.#disk.touch(`setPageDirty ${position}`, () => this.#medium.noteDirty(position, pageSize));
  }

  sync(_request: SyncRequest): Play<OwnPromise> {
    let image: Image | undefined;
    const begin = () => {
      image = this.#medium.image();
      return hashOfNumbers([image.number], hashOfBytes([image.bytes]));
    };
    return this.#disk.request("sync", () => image && this.#medium.noteDurable(image), {
      begin,
      fail: () => this.#medium.loseVolatile(),
    });
  }

  setSize(size: number): Play<void> {
    return this.#disk.touch(`setSize ${size}`, () => {
      this.#medium.size = Math.max(size, this.#medium.size);
    });
  }

  invalidatePages(from: number, to: number): Play<void> {
    return this.#disk.touch(`invalidatePages ${from}`, () => this.#medium.forget(from, to));
  }

  releasePage(): boolean {
    return true;
  }

  truncate(size: number): Play<OwnPromise> {
    return this.#disk.request(`truncate ${size}`, () => this.#medium.truncate(size), { beside: "exclusive" });
  }

  punch(position: number, length: number): Play<OwnPromise> {
    const drop = () => this.#medium.drop(position, position + length);
    return this.#disk.request(`punch ${position}+${length}`, drop, { beside: "exclusive" });
  }

  close(): Play<OwnPromise> {
    return this.#disk.request("close", () => {});
  }
}
