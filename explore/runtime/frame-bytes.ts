/**
 * The bytes of the frames: one piece of memory for all threads, in which every access is a point of its own.
 *
 * What is copied from frame to frame, or out of one, the thread learns; what it puts in comes from its own memory, and so from its
 * history. The frames' bytes are part of every state (world.ts).
 *
 * See also: machine.ts (`operate`), ../transform/colors.ts (which calls of the sources are such accesses), disk.ts (requests).
 */
import { hashOfBytes } from "./hash.js";
import { type Machine, SWITCH } from "./machine.js";
import type { Play } from "./play.js";

/** Methods of Uint8Array that change it. */
export type BytesMethod = "set" | "fill" | "copyWithin";

export class FrameBytes {
  readonly all: Uint8Array;
  readonly #pageBytes: number;
  readonly #machine: Machine;

  constructor(machine: Machine, length: number, pageBytes: number) {
    this.#machine = machine;
    this.all = new Uint8Array(length);
    this.#pageBytes = pageBytes;
  }

  /** For scenarios: one byte. */
  store(frame: number, offset: number, value: number): Play<void> {
    return this.#machine.operation(
      this.#numberOf(frame),
      true,
      () => `bytes of frame ${frame}: [${offset}] = ${value}`,
      () => {
        this.all[frame * this.#pageBytes + offset] = value;
      },
    );
  }

  load(frame: number, offset: number): Play<number> {
    return this.#machine.operation(
      this.#numberOf(frame),
      false,
      () => `bytes of frame ${frame}: [${offset}]`,
      () => {
        const value = this.all[frame * this.#pageBytes + offset] as number;
        this.#machine.learn(value);
        return value;
      },
    );
  }

  /** The operation that is being done looks at these bytes. @returns their hash */
  look(buffers: readonly Uint8Array[]): number {
    for (const buffer of buffers) this.#touches(buffer, 0, buffer.length, false);
    return hashOfBytes(buffers);
  }

  /** A call that changes an array, or copies from one. */
  operate(site: number, name: BytesMethod, target: Uint8Array, ...taken: unknown[]): unknown {
    const work = target[name] as (...taken: unknown[]) => unknown;
    const source = taken[0] instanceof Uint8Array ? taken[0] : undefined;
    const own = !this.#isHere(target);
    if (own && !(source && this.#isHere(source))) return work.apply(target, taken);
    const [from, to] = changedBy(name, target, taken);
    const first = own ? (source as Uint8Array).byteOffset : target.byteOffset + from;
    const frame = Math.floor(first / this.#pageBytes);
    const answer = this.#machine.operate(
      site,
      this.#numberOf(frame),
      !own,
      () => `bytes of frame ${frame}: ${name} ${first % this.#pageBytes}+${to - from}`,
      () => {
        this.#touches(target, from, to, true);
        if (source && this.#isHere(source)) this.#machine.learn(this.look([source]));
        work.apply(target, taken);
      },
    );
    return answer === SWITCH ? SWITCH : target;
  }

  /** As operate, where it cannot be stopped. */
  atOnce(_site: number, name: BytesMethod, target: Uint8Array, ...taken: unknown[]): unknown {
    if (this.#isHere(target) || (taken[0] instanceof Uint8Array && this.#isHere(taken[0]))) this.#machine.hurry();
    return (target[name] as (...taken: unknown[]) => unknown).apply(target, taken);
  }

  #isHere(bytes: Uint8Array): boolean {
    return bytes.buffer === this.all.buffer;
  }

  #numberOf(frame: number): number {
    return this.#machine.extra(1 + frame);
  }

  #touches(bytes: Uint8Array, from: number, to: number, changes: boolean): void {
    if (!this.#isHere(bytes) || from >= to) return;
    const last = Math.floor((bytes.byteOffset + to - 1) / this.#pageBytes);
    for (let frame = Math.floor((bytes.byteOffset + from) / this.#pageBytes); frame <= last; frame++)
      this.#machine.touches(this.#numberOf(frame), changes);
  }
}

/** Which of its bytes a call changes. */
function changedBy(name: BytesMethod, target: Uint8Array, taken: readonly unknown[]): [number, number] {
  if (name === "set") {
    const from = (taken[1] as number | undefined) ?? 0;
    return [from, from + (taken[0] as ArrayLike<number>).length];
  }
  if (name === "fill")
    return [(taken[1] as number | undefined) ?? 0, (taken[2] as number | undefined) ?? target.length];
  return [0, target.length];
}
