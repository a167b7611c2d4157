/**
 * Encodes replies and hands them to the socket: all replies that are ready go out in one write, and while a write is
 * under way the next ones gather.
 *
 * Invariants: one socket write at a time, of at most limits.nbdSocketWriteBytesMax and one slab; a buffer goes back to
 * the pool only after the socket is done with it without an error. Bytes leave in the order of the calls. The number of
 * bytes here is bounded by the caller, who looks at `queuedBytes` before it takes another request.
 *
 * See also: protocol.ts, buffer-pool.ts, transmission.ts and connection.ts (callers).
 */
import type { Writable } from "node:stream";
import { assert } from "../base/assert.js";
import { limits } from "../base/limits.js";
import type { BufferPool } from "./buffer-pool.js";
import { chunkFlagDone, chunkType, magic, wireBytes } from "./protocol.js";

interface Segment {
  readonly bytes: Buffer;
  /** Goes back to the pool after this segment. */
  readonly owner: Buffer | undefined;
  /** Bytes that the reply budget counts and gets back after this segment. */
  readonly charge: number;
}

/** A request's cookie, as its two halves. */
export interface Cookie {
  readonly cookieHigh: number;
  readonly cookieLow: number;
}

export class ReplyWriter {
  /** Structured replies were negotiated. */
  structured = false;
  /** Bytes that the socket has not finished with. */
  queuedBytes = 0;
  /** Bytes that it has, ever. */
  flushedBytes = 0;
  #socket: Writable;
  readonly #pool: BufferPool;
  readonly #onFlushed: (charge: number) => void;
  readonly #segments: Segment[] = [];
  #slab: Buffer | undefined;
  #slabStart = 0;
  #slabEnd = 0;
  #slabCharge = 0;
  #writing = false;
  #ended = false;

  constructor(socket: Writable, pool: BufferPool, onFlushed: (charge: number) => void) {
    this.#socket = socket;
    this.#pool = pool;
    this.#onFlushed = onFlushed;
  }

  get idle(): boolean {
    return this.queuedBytes === 0;
  }

  /** The socket is at work on a write. */
  get writing(): boolean {
    return this.#writing;
  }

  /** From now on bytes go to another socket: the same connection, encrypted. */
  moveTo(socket: Writable): void {
    assert(this.idle && !this.#writing, "nothing is on its way to the old socket");
    this.#socket = socket;
  }

  /** Bytes that are whole already: the handshake's. */
  raw(bytes: Buffer): void {
    if (this.#ended || bytes.length === 0) return;
    this.#cutSlab();
    this.#push(bytes, undefined, 0);
  }

  /** Success without data. An empty read is one, too. */
  acknowledge(cookie: Cookie, isRead: boolean): void {
    if (this.structured && isRead) this.#chunkHeader(cookie, chunkFlagDone, chunkType.none, 0, wireBytes.chunkHeader);
    else this.#simpleHeader(cookie, 0);
  }

  fail(cookie: Cookie, number: number, message: string): void {
    assert(number !== 0, "a failure has a number");
    if (!this.structured) {
      this.#simpleHeader(cookie, number);
      return;
    }
    const text = Buffer.from(message, "utf8").subarray(0, limits.nbdErrorMessageBytesMax);
    const at = this.#chunkHeader(
      cookie,
      chunkFlagDone,
      chunkType.error,
      6 + text.length,
      wireBytes.errorChunkHeader + text.length,
    );
    const slab = this.#slab;
    if (slab === undefined) return;
    slab.writeUInt32BE(number, at + 20);
    slab.writeUInt16BE(text.length, at + 24);
    text.copy(slab, at + 26);
  }

  /** Where the data of a short read may be put before commitRead(); nothing else is called in between. */
  readTarget(length: number): Uint8Array {
    const header = this.structured ? wireBytes.dataChunkHeader : wireBytes.simpleReplyHeader;
    const slab = this.#room(header + length);
    const at = this.#slabEnd + header;
    return slab.subarray(at, at + length);
  }

  commitRead(cookie: Cookie, position: number, length: number): void {
    this.#readHeader(cookie, position, length, true);
    this.#slabEnd += length;
    this.queuedBytes += length;
    this.#slabCharge += length;
  }

  /** The first `length` bytes of `owner`, a buffer of the pool, which is given away. `last`: the read is complete. */
  readBuffer(cookie: Cookie, position: number, owner: Buffer, length: number, last: boolean): void {
    if (this.#ended) return;
    if (length <= limits.nbdInlineReadBytesMax) {
      owner.copy(this.readTarget(length), 0, 0, length);
      this.#readHeader(cookie, position, length, last);
      this.#slabEnd += length;
      this.queuedBytes += length;
      this.#slabCharge += length;
      this.#pool.give(owner);
      return;
    }
    this.#readHeader(cookie, position, length, last);
    this.#cutSlab();
    const most = limits.nbdSocketWriteBytesMax;
    for (let start = 0; start < length; start += most) {
      const end = Math.min(length, start + most);
      this.#push(owner.subarray(start, end), end === length ? owner : undefined, end === length ? length : 0);
    }
  }

  /** Starts a socket write if one is due. */
  flush(): void {
    if (this.#writing || this.#ended || this.queuedBytes === 0) return;
    if (this.#slab !== undefined) this.#finishSlab();
    let bytes = 0;
    let count = 0;
    let last = 0;
    while (count < this.#segments.length && bytes < limits.nbdSocketWriteBytesMax) {
      const { length } = (this.#segments[count] as Segment).bytes;
      if (length > 0) last = count;
      bytes += length;
      count++;
    }
    assert(bytes > 0, "queued bytes lie in segments");
    const batch = this.#segments.splice(0, count);
    this.#writing = true;
    this.#socket.cork();
    for (let i = 0; i < last; i++) {
      const segment = batch[i] as Segment;
      if (segment.bytes.length > 0) this.#socket.write(segment.bytes);
    }
    this.#socket.write((batch[last] as Segment).bytes, (error) => this.#written(batch, bytes, error));
    this.#socket.uncork();
  }

  /** The connection is gone: buffers are left to the collector, since the socket may still know them. */
  end(): void {
    this.#ended = true;
    this.#segments.length = 0;
    this.#slab = undefined;
    this.queuedBytes = 0;
  }

  #written(batch: readonly Segment[], bytes: number, error: Error | null | undefined): void {
    this.#writing = false;
    if (this.#ended || error) return;
    let charge = 0;
    for (const segment of batch) {
      charge += segment.charge;
      if (segment.owner !== undefined) this.#pool.give(segment.owner);
    }
    this.queuedBytes -= bytes;
    this.flushedBytes += bytes;
    this.#onFlushed(charge);
  }

  #simpleHeader(cookie: Cookie, number: number): void {
    if (this.#ended) return;
    const slab = this.#room(wireBytes.simpleReplyHeader);
    const at = this.#slabEnd;
    slab.writeUInt32BE(magic.simpleReply, at);
    slab.writeUInt32BE(number, at + 4);
    slab.writeUInt32BE(cookie.cookieHigh, at + 8);
    slab.writeUInt32BE(cookie.cookieLow, at + 12);
    this.#slabEnd += wireBytes.simpleReplyHeader;
    this.queuedBytes += wireBytes.simpleReplyHeader;
  }

  /** Writes a chunk's header, takes `room` bytes of the slab in all, and returns where they begin. */
  #chunkHeader(cookie: Cookie, flags: number, type: number, length: number, room: number): number {
    if (this.#ended) return 0;
    const slab = this.#room(room);
    const at = this.#slabEnd;
    slab.writeUInt32BE(magic.structuredReply, at);
    slab.writeUInt16BE(flags, at + 4);
    slab.writeUInt16BE(type, at + 6);
    slab.writeUInt32BE(cookie.cookieHigh, at + 8);
    slab.writeUInt32BE(cookie.cookieLow, at + 12);
    slab.writeUInt32BE(length, at + 16);
    this.#slabEnd += room;
    this.queuedBytes += room;
    return at;
  }

  #readHeader(cookie: Cookie, position: number, length: number, last: boolean): void {
    if (!this.structured) {
      assert(last, "a simple reply is one piece");
      this.#simpleHeader(cookie, 0);
      return;
    }
    const at = this.#chunkHeader(
      cookie,
      last ? chunkFlagDone : 0,
      chunkType.offsetData,
      8 + length,
      wireBytes.dataChunkHeader,
    );
    const slab = this.#slab;
    if (slab === undefined) return;
    slab.writeUInt32BE(Math.floor(position / 2 ** 32), at + 20);
    slab.writeUInt32BE(position % 2 ** 32, at + 24);
  }

  /** A slab with `bytes` free after #slabEnd. */
  #room(bytes: number): Buffer {
    if (this.#slab !== undefined && this.#slabEnd + bytes <= this.#slab.length) return this.#slab;
    if (this.#slab !== undefined) this.#finishSlab();
    this.#slab = this.#pool.take(limits.nbdReplySlabBytes);
    this.#slabStart = 0;
    this.#slabEnd = 0;
    return this.#slab;
  }

  /** What the slab has so far goes before the next segment; the rest of the slab is still used. */
  #cutSlab(): void {
    if (this.#slab === undefined || this.#slabStart === this.#slabEnd) return;
    this.#segments.push({
      bytes: this.#slab.subarray(this.#slabStart, this.#slabEnd),
      owner: undefined,
      charge: this.#slabCharge,
    });
    this.#slabStart = this.#slabEnd;
    this.#slabCharge = 0;
  }

  #finishSlab(): void {
    const slab = this.#slab as Buffer;
    this.#segments.push({
      bytes: slab.subarray(this.#slabStart, this.#slabEnd),
      owner: slab,
      charge: this.#slabCharge,
    });
    this.#slab = undefined;
    this.#slabCharge = 0;
  }

  #push(bytes: Buffer, owner: Buffer | undefined, charge: number): void {
    this.#segments.push({ bytes, owner, charge });
    this.queuedBytes += bytes.length;
  }
}
