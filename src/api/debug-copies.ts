/**
 * The private buffers that `debug` hands out instead of the cache's own bytes.
 *
 * Each page's copy is kept beside what it was at first. At the put (and whenever the cache has to see the bytes before it)
 * those bytes that the caller changed go into the cache, and only those: another pin of the same scope may have changed
 * others meanwhile. Then the copies are detached: a late touch has length 0, or throws.
 */
import { PinfoldError } from "../base/errors.js";
import type { OptimisticRead } from "../mapping/optimistic.js";

interface Copy {
  readonly shared: Uint8Array;
  readonly bytes: Uint8Array;
  before: Uint8Array;
}

export class DebugCopies {
  readonly #copies: Copy[] = [];

  /** A private copy of some bytes of the cache. */
  make(shared: Uint8Array): Uint8Array {
    const bytes = shared.slice();
    this.#copies.push({ shared, bytes, before: bytes.slice() });
    return bytes;
  }

  /** Brings what the caller changed into the cache, if it may be changed. True where there was anything. */
  settle(writable: boolean): boolean {
    let changed = false;
    for (const copy of this.#copies) {
      const { shared, bytes, before } = copy;
      if (Buffer.compare(bytes, before) === 0) continue;
      changed = true;
      if (!writable) continue;
      for (const [at, byte] of bytes.entries()) if (byte !== before[at]) shared[at] = byte;
      copy.before = bytes.slice();
    }
    return changed;
  }

  detach(): void {
    for (const { bytes } of this.#copies) structuredClone(bytes.buffer, { transfer: [bytes.buffer as ArrayBuffer] });
    this.#copies.length = 0;
  }
}

/**
 * `read` on a copy of the bytes, which is taken away from it afterwards.
 * @throws PinfoldError EROFS where `read` changed them
 */
export function onPrivateCopy<T>(read: OptimisticRead<T>): OptimisticRead<T> {
  return (memory, start, end) => {
    const copies = new DebugCopies();
    try {
      const answer = read(copies.make(memory.subarray(start, end)), 0, end - start);
      if (copies.settle(false))
        throw new PinfoldError("EROFS", "bytes were changed by a function that is to read them");
      return answer;
    } finally {
      copies.detach();
    }
  };
}
