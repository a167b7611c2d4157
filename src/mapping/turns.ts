/**
 * Tasks of this thread that wait for the same thing, first come first served: only the first of them looks for it, so that a
 * change wakes one task and not all of them.
 *
 * Invariants: one task has the turn at a time, in the order of the calls; a task that is aborted before its turn leaves
 * nothing behind; a turn ends with its work, however that ends. Who waits for a turn holds no page lock that the one with the
 * turn could need.
 *
 * See also: frame-supply.ts, throttle.ts.
 */
export class Turns {
  /** Tasks that have the turn or wait for it, oldest first, each with what begins its turn. */
  readonly #queue = new Set<() => void>();

  /** Nobody has the turn, nobody waits for it. */
  get isFree(): boolean {
    return this.#queue.size === 0;
  }

  /**
   * Waits for the turn, then does `work`.
   * @throws the signal's reason; what `work` throws
   */
  async take<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    let begin = () => {};
    if (this.#queue.size === 0) {
      this.#queue.add(begin);
    } else {
      await new Promise<void>((resolve, reject) => {
        const onAbort = () => {
          this.#queue.delete(begin);
          reject(signal?.reason as Error);
        };
        begin = () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        };
        this.#queue.add(begin);
        signal?.addEventListener("abort", onAbort, { once: true });
      });
    }
    try {
      return await work();
    } finally {
      this.#queue.delete(begin);
      for (const next of this.#queue) {
        next();
        break;
      }
    }
  }
}
