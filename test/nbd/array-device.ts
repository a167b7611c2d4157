/**
 * A device in an ordinary array, with knobs: make calls wait, fail, or be counted. For tests and measurements.
 *
 * Invariant: with no knob turned it is a correct device: what was written is read back.
 *
 * See also: src/nbd/device.ts.
 */
import { PinfoldError } from "../../src/base/errors.js";
import type { NbdDevice } from "../../src/nbd/device.js";

export type Call = "read" | "write" | "flush" | "flushRange" | "trim" | "writeZeroes" | "cache";

export class ArrayDevice implements NbdDevice {
  readonly bytes: Uint8Array;
  readonly readOnly: boolean;
  readonly description = "bytes in memory";
  /** false: tryRead and tryWrite always say that they would have to wait. */
  immediate = true;
  /** Awaited inside each call that may wait; may throw. */
  before: (call: Call, position: number, length: number, signal?: AbortSignal) => Promise<void> | void = () => {};
  /** Each call that reached the device, also the immediate ones. */
  readonly calls: Partial<Record<Call, number>> = {};
  longest = 0;

  constructor(sizeBytes: number, options: { readOnly?: boolean } = {}) {
    this.bytes = new Uint8Array(sizeBytes);
    this.readOnly = options.readOnly ?? false;
  }

  get sizeBytes(): number {
    return this.bytes.length;
  }

  tryRead(target: Uint8Array, position: number): boolean {
    if (!this.immediate) return false;
    this.#count("read", position, target.length);
    target.set(this.bytes.subarray(position, position + target.length));
    return true;
  }

  async read(target: Uint8Array, position: number, signal: AbortSignal): Promise<void> {
    await this.before("read", position, target.length, signal);
    this.#count("read", position, target.length);
    target.set(this.bytes.subarray(position, position + target.length));
  }

  tryWrite(source: Uint8Array, position: number): boolean {
    if (!this.immediate) return false;
    this.#count("write", position, source.length);
    this.bytes.set(source, position);
    return true;
  }

  async write(source: Uint8Array, position: number, signal: AbortSignal): Promise<void> {
    await this.before("write", position, source.length, signal);
    this.#count("write", position, source.length);
    this.bytes.set(source, position);
  }

  async flush(): Promise<void> {
    await this.before("flush", 0, 0);
    this.#count("flush", 0, 0);
  }

  async flushRange(position: number, length: number): Promise<void> {
    await this.before("flushRange", position, length);
    this.#count("flushRange", position, length);
  }

  async trim(position: number, length: number, signal: AbortSignal): Promise<void> {
    await this.before("trim", position, length, signal);
    this.#count("trim", position, length);
  }

  async writeZeroes(
    position: number,
    length: number,
    options: { readonly mayPunch: boolean; readonly fast: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    await this.before("writeZeroes", position, length, signal);
    if (options.fast) throw new PinfoldError("ENOTSUP", "zeros are written one by one here");
    this.#count("writeZeroes", position, length);
    this.bytes.fill(0, position, position + length);
  }

  async cache(position: number, length: number, signal: AbortSignal): Promise<void> {
    await this.before("cache", position, length, signal);
    this.#count("cache", position, length);
  }

  #count(call: Call, position: number, length: number): void {
    if (position + length > this.bytes.length) throw new Error("a range past the end reached the device");
    this.calls[call] = (this.calls[call] ?? 0) + 1;
    if (call === "read" || call === "write") this.longest = Math.max(this.longest, length);
  }
}
