/**
 * Shared memory and single shared integers: the few atomic operations that no step needs, and doorbells.
 * With words/, the only code that names Atomics.
 */

const wasmPageBytes = 65_536;

/**
 * A shared WebAssembly memory of at least `bytes`, all of it there from the start, never growing.
 * @throws RangeError where the system does not give that much address space
 */
export function sharedMemory(bytes: number): WebAssembly.Memory {
  const pages = Math.max(1, Math.ceil(bytes / wasmPageBytes));
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}

/** Single 32-bit words of a shared memory, by byte address. */
export class SharedIntegers {
  readonly #words: Int32Array;

  constructor(memory: WebAssembly.Memory) {
    this.#words = new Int32Array(memory.buffer);
  }

  load(address: number): number {
    return Atomics.load(this.#words, address >> 2);
  }

  /** As load, by a plain access: a tenth of the cost; what it answers may be a moment old. */
  peek(address: number): number {
    return this.#words[address >> 2] as number;
  }

  /** `count` words from `address` on, to be peeked at without a call. */
  peekable(address: number, count: number): Int32Array {
    return this.#words.subarray(address >> 2, (address >> 2) + count);
  }

  store(address: number, value: number): void {
    Atomics.store(this.#words, address >> 2, value);
  }

  add(address: number, delta: number): number {
    return Atomics.add(this.#words, address >> 2, delta);
  }

  /** Swaps `expected` for `value`; true if it was there. */
  swap(address: number, expected: number, value: number): boolean {
    return Atomics.compareExchange(this.#words, address >> 2, expected, value) === expected;
  }

  /** Rings a doorbell: counts it up and wakes who waits on it. */
  ring(address: number): void {
    Atomics.add(this.#words, address >> 2, 1);
    Atomics.notify(this.#words, address >> 2);
  }

  /** Resolves when the doorbell no longer shows `seen`. Does not keep the process alive. */
  async heard(address: number, seen: number): Promise<void> {
    const waiting = Atomics.waitAsync(this.#words, address >> 2, seen);
    if (waiting.async) await waiting.value;
  }

  /** Blocks this thread until the doorbell no longer shows `seen`, at most `timeoutMs`. Not on a thread that may not block. */
  waitBlocking(address: number, seen: number, timeoutMs: number): boolean {
    return Atomics.wait(this.#words, address >> 2, seen, timeoutMs) !== "timed-out";
  }
}
