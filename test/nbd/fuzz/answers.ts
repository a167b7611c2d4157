/**
 * Compares what a server answered with what it had to: every reply is well-formed and belongs to a request, each request has one, with the
 * right error or with bytes that somebody wrote; and the disk holds nothing but what valid writes put there.
 *
 * See also: expectation.ts, run.ts.
 */
import type { Expectation, ExpectedRequest } from "./expectation.js";
import { diskBytes } from "./grammar.js";

/** The server did what it must not. */
export class Wrong extends Error {
  override readonly name = "Wrong";
}

function must(condition: boolean, text: string): asserts condition {
  if (!condition) throw new Wrong(text);
}

interface Open {
  readonly request: ExpectedRequest;
  received: number;
  failed: number;
}

export class Answers {
  readonly #expected: Expectation;
  readonly #bytes: Buffer;
  #at = 0;
  readonly #open = new Map<string, Open>();
  /** Answered with success. */
  readonly #done = new Set<ExpectedRequest>();

  constructor(expected: Expectation, bytes: Buffer) {
    this.#expected = expected;
    this.#bytes = bytes;
  }

  /** True: all that was expected is there. False: so far it is right. @throws Wrong */
  check(): boolean {
    if (!this.#greeting() || !this.#options() || !this.#exportName()) return false;
    for (const request of this.#expected.requests) {
      this.#open.set(request.cookie, { request, received: 0, failed: 0 });
    }
    // Where two requests have one cookie, nobody can tell their answers apart.
    if (this.#open.size < this.#expected.requests.length) {
      this.#at = this.#bytes.length;
      return true;
    }
    while (this.#reply());
    return this.#open.size === 0;
  }

  /** Bytes after the last whole reply: those of one that is cut off. */
  get restBytes(): number {
    return this.#bytes.length - this.#at;
  }

  /** `disk` holds zeros and what valid writes put there. */
  checkDisk(disk: Uint8Array): void {
    const writes = this.#expected.requests.filter(({ type, error, length }) => type === 1 && error === 0 && length > 0);
    const zeroes = this.#expected.requests.filter(({ type, error, length }) => type === 6 && error === 0 && length > 0);
    checkBytes(disk, 0, writes, "the disk");
    for (const write of writes) {
      if (!this.#done.has(write)) continue;
      if ([...writes, ...zeroes].some((other) => other !== write && overlap(other, write))) continue;
      const end = write.position + write.length;
      must(
        write.payload?.equals(disk.subarray(write.position, end)) === true,
        "a write that was answered is not there",
      );
    }
  }

  #has(bytes: number): boolean {
    return this.#bytes.length - this.#at >= bytes;
  }

  #greeting(): boolean {
    if (!this.#has(18)) return false;
    must(this.#bytes.toString("latin1", 0, 16) === "NBDMAGICIHAVEOPT", "no greeting");
    this.#at = 18;
    return true;
  }

  #options(): boolean {
    for (const { type, code } of this.#expected.options) {
      for (let last = false; !last; ) {
        if (!this.#has(20)) return false;
        const bytes = this.#bytes;
        must(bytes.toString("hex", this.#at, this.#at + 8) === "0003e889045565a9", "no option reply");
        must(
          bytes.readUInt32BE(this.#at + 8) === type,
          `a reply to option ${bytes.readUInt32BE(this.#at + 8)}, not ${type}`,
        );
        const got = bytes.readUInt32BE(this.#at + 12);
        const length = bytes.readUInt32BE(this.#at + 16);
        must(length <= 8192, `an option reply of ${length} bytes`);
        if (!this.#has(20 + length)) return false;
        last = got === 1 || got >= 0x80000000;
        if (last) must(got === code, `option ${type}: ${got.toString(16)}, not ${code.toString(16)}`);
        else
          must(
            code === 1 && (type === 3 ? got === 2 : got === 3 && (type === 6 || type === 7)),
            `option ${type}: ${got}`,
          );
        if (!last && got === 3 && bytes.readUInt16BE(this.#at + 20) === 0) {
          must(Number(bytes.readBigUInt64BE(this.#at + 22)) === diskBytes, "another size");
        }
        this.#at += 20 + length;
      }
    }
    return true;
  }

  #exportName(): boolean {
    const { exportNameBytes } = this.#expected;
    if (exportNameBytes === 0) return true;
    if (!this.#has(exportNameBytes)) return false;
    must(Number(this.#bytes.readBigUInt64BE(this.#at)) === diskBytes, "another size");
    this.#at += exportNameBytes;
    return true;
  }

  /** False: no further whole reply is there. */
  #reply(): boolean {
    if (!this.#has(16)) return false;
    const magic = this.#bytes.readUInt32BE(this.#at);
    if (magic === 0x67446698) return this.#simple();
    must(magic === 0x668e33ef && this.#expected.structured, `no reply: ${magic.toString(16)}`);
    return this.#chunk();
  }

  #find(): Open {
    const cookie = this.#bytes.toString("hex", this.#at + 8, this.#at + 16);
    const found = this.#open.get(cookie);
    must(found !== undefined, `a reply to ${cookie}, which nobody asked`);
    return found;
  }

  #finish(open: Open, error: number): void {
    const { request } = open;
    must(
      request.error === error,
      `request of type ${request.type}, ${request.length} at ${request.position}: error ${error}, not ${request.error}`,
    );
    if (error === 0) this.#done.add(request);
    this.#open.delete(request.cookie);
  }

  #simple(): boolean {
    const open = this.#find();
    const error = this.#bytes.readUInt32BE(this.#at + 4);
    const isRead = open.request.type === 0;
    must(!isRead || !this.#expected.structured, "a simple reply to a read where structured ones were agreed");
    const length = isRead && error === 0 ? open.request.length : 0;
    must(length <= diskBytes, "data of a read that had to fail");
    if (!this.#has(16 + length)) return false;
    if (length > 0) this.#data(open.request, 0, this.#at + 16, length);
    this.#finish(open, error);
    this.#at += 16 + length;
    return true;
  }

  #chunk(): boolean {
    if (!this.#has(20)) return false;
    const bytes = this.#bytes;
    const at = this.#at;
    const open = this.#find();
    const flags = bytes.readUInt16BE(at + 4);
    const type = bytes.readUInt16BE(at + 6);
    const length = bytes.readUInt32BE(at + 16);
    must(flags <= 1 && length <= diskBytes + 8, `a chunk with flags ${flags} and ${length} bytes`);
    if (!this.#has(20 + length)) return false;
    if (type === 1) {
      must(open.request.type === 0 && length > 8, "data to what is no read");
      const offset = Number(bytes.readBigUInt64BE(at + 20)) - open.request.position;
      must(offset === open.received, "data out of order, or twice");
      this.#data(open.request, offset, at + 28, length - 8);
      open.received += length - 8;
    } else if (type === 0x8001) {
      open.failed = bytes.readUInt32BE(at + 20);
      must(open.failed !== 0 && length === 6 + bytes.readUInt16BE(at + 24), "an error chunk of a wrong shape");
    } else must(type === 0 && length === 0 && flags === 1, `a chunk of type ${type}`);
    this.#at += 20 + length;
    if (flags === 1) {
      const whole = open.request.type !== 0 || open.failed !== 0 || open.received === open.request.length;
      must(whole, "a read that is not complete");
      this.#finish(open, open.failed);
    }
    return true;
  }

  #data(request: ExpectedRequest, offset: number, from: number, length: number): void {
    must(request.error === 0 && offset + length <= request.length, "data that nobody asked for");
    const writes = this.#expected.requests.filter(({ type, error }) => type === 1 && error === 0);
    checkBytes(this.#bytes.subarray(from, from + length), request.position + offset, writes, "a read");
  }
}

function overlap(a: ExpectedRequest, b: ExpectedRequest): boolean {
  return a.position < b.position + b.length && b.position < a.position + a.length;
}

const zeros = Buffer.alloc(diskBytes);

/** Every byte is 0 or from one of the writes, at its place. */
function checkBytes(bytes: Uint8Array, start: number, writes: readonly ExpectedRequest[], what: string): void {
  const end = start + bytes.length;
  const near = writes
    .filter(({ position, length }) => position < end && start < position + length)
    .toSorted((a, b) => a.position - b.position);
  let checked = start;
  for (const { position, length } of near) {
    const from = Math.max(checked, position);
    checkZeros(bytes, start, checked, from, what);
    checked = Math.max(from, Math.min(end, position + length));
    for (let place = from; place < checked; place++) {
      const byte = bytes[place - start];
      const known = byte === 0 || near.some((write) => write.payload?.[place - write.position] === byte);
      if (!known) throw new Wrong(`${what} has ${byte} at ${place}, which no valid write put there`);
    }
  }
  checkZeros(bytes, start, checked, end, what);
}

function checkZeros(bytes: Uint8Array, start: number, from: number, to: number, what: string): void {
  if (from >= to) return;
  const part = bytes.subarray(from - start, to - start);
  must(
    zeros.compare(part, 0, part.length, 0, part.length) === 0,
    `${what} has bytes in ${from} to ${to} that nobody wrote`,
  );
}
