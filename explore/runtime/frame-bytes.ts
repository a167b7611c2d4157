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
  *store(frame: number, offset: number, value: number): Play<void> {
    const { buffers } = this.#machine;
    const place = frame * this.#pageBytes + offset;
    const what = () => `bytes of frame ${frame}: [${offset}] = ${value}`;
    const land = () => {
      this.all[place] = value;
    };
    if (buffers?.isOn) {
      const pending = { place: -1 - place, value, at: this.#numberOf(frame), what: what(), land };
      if (buffers.push(-1, pending) === SWITCH) yield* this.#machine.again();
      return;
    }
    yield* this.#machine.operation(this.#numberOf(frame), true, what, () => {
      this.#machine.races?.bytes(-1, place, place + 1, true);
      land();
    });
  }

  load(frame: number, offset: number): Play<number> {
    return this.#machine.operation(
      this.#numberOf(frame),
      false,
      () => `bytes of frame ${frame}: [${offset}]`,
      () => {
        const at = frame * this.#pageBytes + offset;
        this.#machine.races?.bytes(-1, at, at + 1, false);
        const value = this.#machine.buffers?.newest(-1 - at) ?? this.all[at] ?? 0;
        this.#machine.learn(value);
        return value;
      },
    );
  }

  /** The operation that is being done looks at these bytes. @returns their hash */
  look(buffers: readonly Uint8Array[]): number {
    this.#lookAt(-1, buffers);
    return hashOfBytes(buffers);
  }

  /** A request to the storage has looked at these bytes, or changed them: nothing but a race can come of that here. */
  transferred(buffers: readonly Uint8Array[], changes: boolean): void {
    const { races } = this.#machine;
    for (const buffer of buffers)
      if (this.#isHere(buffer)) races?.bytes(-1, buffer.byteOffset, buffer.byteOffset + buffer.length, changes);
  }

  #lookAt(site: number, buffers: readonly Uint8Array[]): void {
    for (const buffer of buffers) this.#touches(site, buffer, 0, buffer.length, false);
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
        this.#machine.buffers?.fence();
        this.#touches(site, target, from, to, true);
        if (source && this.#isHere(source)) {
          this.#lookAt(site, [source]);
          this.#machine.learn(hashOfBytes([source]));
        }
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

  #touches(site: number, bytes: Uint8Array, from: number, to: number, changes: boolean): void {
    if (!this.#isHere(bytes) || from >= to) return;
    this.#machine.races?.bytes(site, bytes.byteOffset + from, bytes.byteOffset + to, changes);
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
