/**
 * Which words actors contend for, learnt while they run: an operation on a word that nobody contends for need not be a
 * point of choice.
 *
 * A word is uncontended for an operation if no other actor has an operation on it that does not commute (loads commute,
 * additions whose result is unused commute), or if all accesses to it were made under a latch that the actor holds now.
 *
 * Invariant: what is learnt only grows; `learnt` says that something that was taken for uncontended before may not be, so
 * that what was explored so far may lack something.
 *
 * See also: enumerator.ts (why that is sound).
 */
import { POINT_COUNT, POINT_LOAD } from "./reference.js";

export class Contention {
  /** Set when a contended word shows a new side. */
  learnt = false;
  everyPoint = false;
  // Of each 16-bit word of the memory: which actors load, add to and write it; which latches were held at all accesses.
  readonly #loads: Uint8Array;
  readonly #counts: Uint8Array;
  readonly #writes: Uint8Array;
  readonly #guards: Int32Array;

  constructor(bytes: number) {
    const halves = (bytes >>> 1) + 8;
    this.#loads = new Uint8Array(halves);
    this.#counts = new Uint8Array(halves);
    this.#writes = new Uint8Array(halves);
    this.#guards = new Int32Array(halves).fill(-1);
  }

  /** Whether another actor may do something meanwhile that does not commute with `point` of actor `at`. */
  contended(at: number, point: number, held: number): boolean {
    const word = point >>> 3;
    const kind = point & 3;
    let theirs = this.#writes[word] as number;
    if (kind !== POINT_COUNT) theirs |= this.#counts[word] as number;
    if (kind !== POINT_LOAD) theirs |= this.#loads[word] as number;
    if (this.everyPoint) return true;
    return (theirs & ~(1 << at)) !== 0 && ((this.#guards[word] as number) & held) === 0;
  }

  /** Learns of an operation of actor `at`. */
  note(at: number, point: number, held: number): void {
    const word = point >>> 3;
    const kind = point & 3;
    const accesses = kind === POINT_LOAD ? this.#loads : kind === POINT_COUNT ? this.#counts : this.#writes;
    const before = accesses[word] as number;
    const guards = this.#guards[word] as number;
    const after = before | (1 << at);
    const left = guards & held;
    if (after === before && left === guards) return;
    accesses[word] = after;
    this.#guards[word] = left;
    const writes = this.#writes[word] as number;
    const counts = this.#counts[word] as number;
    const loads = this.#loads[word] as number;
    const actors = loads | counts | writes;
    const conflicting = writes !== 0 || (counts !== 0 && loads !== 0);
    if (conflicting && (actors & (actors - 1)) !== 0) this.learnt = true;
  }
}
