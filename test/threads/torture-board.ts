/**
 * What the threads of a torture run know of each other, in shared memory: who writes which cell, which versions were begun and
 * finished, which cuts and punches may have zeroed it, and how far each lane is. From this any reader can tell whether bytes that
 * it saw can be right: `judge` says so.
 *
 * A cell is a piece of a page that is written as a whole. Its writers take turns (`claim`), so that its versions have one order,
 * which is not the cache's doing: what the cache makes of it is what is tested.
 *
 * See also: torture-page.ts (the bytes of a cell), torture-worker.ts.
 */
import { type CellContent, readCell } from "./torture-page.js";

export interface Geometry {
  readonly pageSize: number;
  readonly cellBytes: number;
  /** Pages that nobody cuts, then those that are punched, then those at the end that are cut and extended. */
  readonly stablePages: number;
  readonly punchedPages: number;
  readonly cutPages: number;
  /** Pages of a second file, which is opened and closed all the time. */
  readonly sidePages: number;
  readonly workers: number;
  readonly lanesPerWorker: number;
}

export const operationsMax = 64;
const laneWords = 8;
const workerWords = 8;
const controlWords = 16;

/** What a reader knows of cells before it looks. */
export interface Sample {
  readonly done: Int32Array;
  readonly epoch: Int32Array;
  readonly killed: Int32Array;
  readonly race: Int32Array;
  readonly doubt: Int32Array;
}

export interface Wrong {
  readonly what: string;
  /** It is no version at all: half of one, or another cell's. */
  readonly isTorn: boolean;
}

/** Versions that a writer has begun. */
export interface Begun {
  readonly cell: number;
  readonly version: number;
  readonly epoch: number;
  readonly racy: boolean;
}

export function cellsOf(g: Geometry): number {
  return ((g.stablePages + g.punchedPages + g.cutPages + g.sidePages) * g.pageSize) / g.cellBytes;
}

/** Lanes of a worker that do operations, and one more for what it adopts. */
export function lanesOf(g: Geometry): number {
  return g.workers * (g.lanesPerWorker + 1);
}

export class Board {
  readonly geometry: Geometry;
  readonly buffer: SharedArrayBuffer;
  readonly cells: number;
  readonly cellsPerPage: number;
  /** Lane + 1 of who writes the cell. */
  readonly #claim: Int32Array;
  /** The last version begun, and the last one finished; `epoch`: cuts that had ended when that one began. */
  readonly #next: Int32Array;
  readonly #done: Int32Array;
  readonly #epoch: Int32Array;
  /** Versions up to this one are gone: a cut that began after they were finished has ended. */
  readonly #killed: Int32Array;
  readonly #cutsBegun: Int32Array;
  readonly #cutsEnded: Int32Array;
  /** Odd while somebody changes the cell in place without the page's lock. */
  readonly #race: Int32Array;
  /** Odd since its writer was killed, until the next finished version. */
  readonly #doubt: Int32Array;
  /** Of each page: lane + 1 of who has it locked exclusively. */
  readonly #inside: Int32Array;
  readonly #lanes: Int32Array;
  readonly #workers: Int32Array;
  readonly #operations: Int32Array;
  readonly #control: Int32Array;

  constructor(geometry: Geometry, buffer?: SharedArrayBuffer) {
    this.geometry = geometry;
    this.cells = cellsOf(geometry);
    this.cellsPerPage = geometry.pageSize / geometry.cellBytes;
    const lanes = lanesOf(geometry);
    const sizes = [
      ...new Array<number>(9).fill(this.cells),
      this.cells / this.cellsPerPage,
      lanes * laneWords,
      geometry.workers * workerWords,
      operationsMax * 4,
      controlWords,
    ];
    this.buffer = buffer ?? new SharedArrayBuffer(4 * sizes.reduce((sum, size) => sum + size, 0));
    let at = 0;
    const regions = sizes.map((size) => {
      const region = new Int32Array(this.buffer, at, size);
      at += size * 4;
      return region;
    });
    const next = () => regions.shift() as Int32Array;
    this.#claim = next();
    this.#next = next();
    this.#done = next();
    this.#epoch = next();
    this.#killed = next();
    this.#cutsBegun = next();
    this.#cutsEnded = next();
    this.#race = next();
    this.#doubt = next();
    this.#inside = next();
    this.#lanes = next();
    this.#workers = next();
    this.#operations = next();
    this.#control = next();
  }

  /** The first cell of the second file. */
  get sideCells(): number {
    const { stablePages, punchedPages, cutPages } = this.geometry;
    return (stablePages + punchedPages + cutPages) * this.cellsPerPage;
  }

  workerOf(lane: number): number {
    return Math.floor(lane / (this.geometry.lanesPerWorker + 1));
  }

  laneOf(worker: number, at: number): number {
    return worker * (this.geometry.lanesPerWorker + 1) + at;
  }

  // --- writing ----------------------------------------------------------------------------------------------------

  tryClaim(cell: number, lane: number): boolean {
    return Atomics.compareExchange(this.#claim, cell, 0, lane + 1) === 0;
  }

  /** All of [first, first + count), or none. */
  tryClaimAll(first: number, count: number, lane: number): boolean {
    for (let cell = first; cell < first + count; cell++) {
      if (this.tryClaim(cell, lane)) continue;
      for (let taken = first; taken < cell; taken++) this.release(taken, lane);
      return false;
    }
    return true;
  }

  release(cell: number, lane: number): void {
    Atomics.compareExchange(this.#claim, cell, lane + 1, 0);
  }

  /** A claim goes to another lane. False: it was not that lane's any more. */
  moveClaim(cell: number, from: number, to: number): boolean {
    return Atomics.compareExchange(this.#claim, cell, from + 1, to + 1) === from + 1;
  }

  hasClaim(cell: number, lane: number): boolean {
    return Atomics.load(this.#claim, cell) === lane + 1;
  }

  /** The next version of a claimed cell. `racy`: it will be seen while it comes into being. */
  begin(cell: number, racy: boolean): Begun {
    const epoch = Atomics.load(this.#cutsEnded, cell);
    if (racy) Atomics.add(this.#race, cell, 1);
    return { cell, version: Atomics.add(this.#next, cell, 1) + 1, epoch, racy };
  }

  /** The bytes are there, and everybody who looks from now on has to see them or later ones. */
  finish({ cell, version, epoch, racy }: Begun): void {
    // What was stored piece by piece while a cut was under way, whenever that began, may be there in part.
    const torn = racy && Atomics.load(this.#cutsBegun, cell) !== epoch;
    const inDoubt = (Atomics.load(this.#doubt, cell) & 1) === 1;
    Atomics.store(this.#epoch, cell, epoch);
    Atomics.store(this.#done, cell, version);
    if (torn !== inDoubt) Atomics.add(this.#doubt, cell, 1);
    if (racy) Atomics.add(this.#race, cell, 1);
  }

  /** It may have been written or not: as a whole, or (`torn`) in part. */
  abandon({ cell, racy }: Begun, torn = false): void {
    if (torn && (Atomics.load(this.#doubt, cell) & 1) === 0) Atomics.add(this.#doubt, cell, 1);
    if (racy) Atomics.add(this.#race, cell, 1);
  }

  beginCut(first: number, end: number, lane: number): Int32Array {
    const dying = Int32Array.from({ length: end - first }, (_, at) => Atomics.load(this.#done, first + at));
    for (let cell = first; cell < end; cell++) Atomics.add(this.#cutsBegun, cell, 1);
    Atomics.store(this.#lanes, lane * laneWords + laneCut, first);
    Atomics.store(this.#lanes, lane * laneWords + laneCut + 1, end);
    return dying;
  }

  /** `dying`: what beginCut answered, where the cut was done. */
  endCut(first: number, end: number, lane: number, dying: Int32Array | undefined): void {
    for (let cell = first; cell < end; cell++) {
      // Before it is ended: who is killed here leaves the cut of one cell open, and no cell's ended twice.
      Atomics.store(this.#lanes, lane * laneWords + laneCut, cell + 1);
      const version = dying?.[cell - first] ?? 0;
      for (let known = Atomics.load(this.#killed, cell); known < version; ) {
        const found = Atomics.compareExchange(this.#killed, cell, known, version);
        if (found === known) break;
        known = found;
      }
      Atomics.add(this.#cutsEnded, cell, 1);
    }
    Atomics.store(this.#lanes, lane * laneWords + laneCut, 0);
    Atomics.store(this.#lanes, lane * laneWords + laneCut + 1, 0);
  }

  // --- reading ----------------------------------------------------------------------------------------------------

  sample(first: number, count: number): Sample {
    const of = (field: Int32Array) => Int32Array.from({ length: count }, (_, at) => Atomics.load(field, first + at));
    // `done` before `epoch`: a later epoch only belongs to a version that was there already.
    const done = of(this.#done);
    return {
      done,
      epoch: of(this.#epoch),
      killed: of(this.#killed),
      race: of(this.#race),
      doubt: of(this.#doubt),
    };
  }

  /**
   * What is wrong with a cell's content, which was read after the sample was taken. `locked`: all at once, so that no writer that
   * locks pages, and no cut, can have been at it meanwhile.
   */
  judge(cell: number, content: CellContent, sample: Sample, at: number, locked: boolean): Wrong | undefined {
    const done = sample.done[at] as number;
    const next = Atomics.load(this.#next, cell);
    const describe = (what: string): Wrong => ({
      what:
        `cell ${cell} (page ${Math.floor(cell / this.cellsPerPage)}): ${what}; versions ${done} to ${next}, ` +
        `gone up to ${sample.killed[at]}, cuts ${Atomics.load(this.#cutsBegun, cell)} after ${sample.epoch[at]}`,
      isTorn: content.kind === "wrong",
    });
    if (content.kind === "wrong") {
      const isCut = Atomics.load(this.#cutsBegun, cell) > (sample.epoch[at] as number);
      const excused = this.#isExcused(cell, sample, at) || (!locked && (next !== done || isCut));
      if (excused) Atomics.add(this.#control, 1, 1);
      return excused ? undefined : describe(content.what);
    }
    if (content.kind === "zeros") {
      const mayBe = done === 0 || Atomics.load(this.#cutsBegun, cell) > (sample.epoch[at] as number);
      return mayBe ? undefined : describe("zeros without a cut");
    }
    const { version, writer } = content;
    if (version > next) return describe(`version ${version} of writer ${writer} was never begun`);
    if (version < done) return describe(`a lost write: version ${version} of writer ${writer}`);
    if (version <= (sample.killed[at] as number)) return describe(`version ${version} came back after a cut`);
    return undefined;
  }

  /** Reads cells out of `bytes`, of which they are the whole. What is wrong with the first that is. */
  check(
    bytes: Uint8Array,
    first: number,
    sample: Sample,
    how: { sampleFirst?: number; locked?: boolean } = {},
  ): Wrong | undefined {
    const { sampleFirst = first, locked = true } = how;
    const { cellBytes } = this.geometry;
    for (let at = 0; at + cellBytes <= bytes.length; at += cellBytes) {
      const cell = first + at / cellBytes;
      const content = readCell(bytes.subarray(at, at + cellBytes), cell);
      const wrong = this.judge(cell, content, sample, cell - sampleFirst, locked);
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  }

  /** Half a version may be there: its writer has no lock, or was killed. */
  #isExcused(cell: number, sample: Sample, at: number): boolean {
    const owner = Atomics.load(this.#claim, cell);
    if (owner !== 0 && this.isDying(this.workerOf(owner - 1))) return true;
    const doubt = Atomics.load(this.#doubt, cell);
    const race = Atomics.load(this.#race, cell);
    return (doubt & 1) === 1 || doubt !== sample.doubt[at] || (race & 1) === 1 || race !== sample.race[at];
  }

  /** This lane has the page locked exclusively. What is wrong with that. */
  enter(page: number, lane: number): string | undefined {
    const found = Atomics.compareExchange(this.#inside, page, 0, lane + 1);
    if (found === 0) return undefined;
    if (
      this.isDying(this.workerOf(found - 1)) &&
      Atomics.compareExchange(this.#inside, page, found, lane + 1) === found
    )
      return undefined;
    return `lanes ${found - 1} and ${lane} both have page ${page} locked exclusively`;
  }

  leave(page: number, lane: number): void {
    Atomics.compareExchange(this.#inside, page, lane + 1, 0);
  }

  /** This lane has the page locked shared. What is wrong with that. */
  lookInside(page: number): string | undefined {
    const found = Atomics.load(this.#inside, page);
    if (found === 0 || this.isDying(this.workerOf(found - 1))) return undefined;
    return `page ${page} is locked shared, and exclusively by lane ${found - 1}`;
  }

  // --- lanes, workers, operations -----------------------------------------------------------------------------------

  progress(lane: number): number {
    return Atomics.load(this.#lanes, lane * laneWords);
  }

  /** A lane begins an operation, or ends one (-1). */
  step(lane: number, operation: number): void {
    Atomics.store(this.#lanes, lane * laneWords + 1, operation + 1);
    Atomics.add(this.#lanes, lane * laneWords, 1);
  }

  operationOf(lane: number): number {
    return Atomics.load(this.#lanes, lane * laneWords + 1) - 1;
  }

  /** How often an operation was tried (0), done (1), refused as it may be (2). */
  count(operation: number, what: 0 | 1 | 2): void {
    Atomics.add(this.#operations, operation * 4 + what, 1);
  }

  counted(operation: number, what: 0 | 1 | 2): number {
    return Atomics.load(this.#operations, operation * 4 + what);
  }

  /** How often half a version was seen where that may be. */
  get tornSeen(): number {
    return Atomics.load(this.#control, 1);
  }

  stop(): void {
    Atomics.store(this.#control, 0, 1);
  }

  get stopped(): boolean {
    return Atomics.load(this.#control, 0) === 1;
  }

  isDying(worker: number): boolean {
    return Atomics.load(this.#workers, worker * workerWords) === 1;
  }

  /** Set before a worker is terminated, and cleared when `bury` has been done. */
  setDying(worker: number, dying: boolean): void {
    Atomics.store(this.#workers, worker * workerWords, dying ? 1 : 0);
  }

  /** The slot that a worker has in the cache's table, and which use of it. */
  setSlot(worker: number, slot: number, generation: number): void {
    Atomics.store(this.#workers, worker * workerWords + 1, slot + 1);
    Atomics.store(this.#workers, worker * workerWords + 2, generation);
  }

  slotOf(worker: number): { slot: number; generation: number } {
    const at = worker * workerWords;
    return { slot: Atomics.load(this.#workers, at + 1) - 1, generation: Atomics.load(this.#workers, at + 2) };
  }

  /**
   * A worker is dead: what it was writing is in doubt. Answers what ends its cuts, to be called when the cache has cleaned up
   * after it: until then that may finish them.
   */
  bury(worker: number): () => void {
    const first = this.laneOf(worker, 0);
    const lanes = this.geometry.lanesPerWorker + 1;
    const isIts = (owner: number) => owner > first && owner <= first + lanes;
    for (let cell = 0; cell < this.cells; cell++) {
      const owner = Atomics.load(this.#claim, cell);
      if (!isIts(owner)) continue;
      if ((Atomics.load(this.#doubt, cell) & 1) === 0) Atomics.add(this.#doubt, cell, 1);
      if ((Atomics.load(this.#race, cell) & 1) === 1) Atomics.add(this.#race, cell, 1);
      Atomics.compareExchange(this.#claim, cell, owner, 0);
    }
    for (let page = 0; page < this.#inside.length; page++) {
      const owner = Atomics.load(this.#inside, page);
      if (isIts(owner)) Atomics.compareExchange(this.#inside, page, owner, 0);
    }
    const cut: number[] = [];
    for (let lane = first; lane < first + lanes; lane++) {
      const at = lane * laneWords + laneCut;
      const [from, end] = [Atomics.load(this.#lanes, at), Atomics.load(this.#lanes, at + 1)];
      for (let cell = from; cell < end; cell++) cut.push(cell);
      Atomics.store(this.#lanes, at, 0);
      Atomics.store(this.#lanes, at + 1, 0);
    }
    return () => {
      for (const cell of cut) Atomics.add(this.#cutsEnded, cell, 1);
    };
  }
}

const laneCut = 2;
