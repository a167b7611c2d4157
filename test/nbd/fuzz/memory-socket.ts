/**
 * A socket without a kernel: as much of net.Socket as a connection uses, for very many streams in little time.
 *
 * Invariants: while it is paused nothing is delivered. A written buffer is copied only when its callback is due, so a buffer that is used
 * again too early shows.
 *
 * See also: run.ts.
 */
import { EventEmitter } from "node:events";
import type { Socket } from "node:net";

type Callback = (error?: Error | null) => void;

export class MemorySocket extends EventEmitter {
  readonly remoteAddress = "memory";
  readonly remotePort = 0;
  /** false: the peer does not read, so no write completes. */
  reading = true;
  /** Nothing more will happen. */
  over = false;
  /** The server has hung up. */
  hungUp = false;
  #paused = false;
  #ended = false;
  readonly #incoming: Buffer[] = [];
  readonly #outgoing: { bytes: Buffer; callback: Callback | undefined }[] = [];
  readonly #answers: Buffer[] = [];
  #answeredBytes = 0;
  #due = false;

  /** As the server takes it. */
  get socket(): Socket {
    return this as unknown as Socket;
  }

  get answers(): Buffer {
    return Buffer.concat(this.#answers);
  }

  get answeredBytes(): number {
    return this.#answeredBytes;
  }

  get waitingWrites(): number {
    return this.#outgoing.length;
  }

  get undelivered(): number {
    return this.#incoming.length;
  }

  deliver(chunk: Buffer): void {
    if (this.over || chunk.length === 0) return;
    this.#incoming.push(chunk);
    this.#pump();
  }

  /** The peer hangs up; `politely`: with a FIN. */
  leave(politely: boolean): void {
    if (this.over) return;
    if (politely && !this.hungUp) this.emit("end");
    this.destroy();
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  cork(): void {}

  uncork(): void {}

  pause(): this {
    this.#paused = true;
    return this;
  }

  resume(): this {
    this.#paused = false;
    if (this.#incoming.length > 0) process.nextTick(() => this.#pump());
    return this;
  }

  write(bytes: Buffer, callback?: Callback): boolean {
    if (this.over || this.#ended) {
      if (callback !== undefined) process.nextTick(callback, new Error("written after the end"));
      return false;
    }
    this.#outgoing.push({ bytes, callback });
    this.#flushSoon();
    return true;
  }

  end(): this {
    this.#ended = true;
    this.#flushSoon();
    return this;
  }

  destroy(): this {
    if (this.over) return this;
    this.over = true;
    this.#incoming.length = 0;
    const error = new Error("destroyed");
    process.nextTick(() => {
      for (const { callback } of this.#outgoing.splice(0)) callback?.(error);
      this.emit("close");
    });
    return this;
  }

  #pump(): void {
    while (!this.#paused && !this.over && this.#incoming.length > 0 && this.listenerCount("data") > 0) {
      this.emit("data", this.#incoming.shift());
    }
  }

  #flushSoon(): void {
    if (this.#due || !this.reading) return;
    this.#due = true;
    process.nextTick(() => {
      this.#due = false;
      for (const { bytes, callback } of this.#outgoing.splice(0)) {
        if (this.over) return;
        this.#answers.push(Buffer.from(bytes));
        this.#answeredBytes += bytes.length;
        callback?.();
      }
      if (!this.#ended || this.over || this.#outgoing.length > 0) return;
      this.hungUp = true;
      this.leave(true);
    });
  }
}
