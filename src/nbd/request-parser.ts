/**
 * The transmission phase, incrementally: chunks are pushed into the reader, steps are pulled from here, so that the
 * caller can stop at any step and go on later. No object is made for a request; its fields stand here until next().
 *
 * After "request" of a write the caller decides about the payload before the next next(): acceptPayload (it lies whole
 * in the chunk and was used in place), fillPayload (into a buffer of the caller's), or skipPayload.
 *
 * Invariants: a length is never trusted: nothing is allocated here. Any split of the same bytes gives the same steps.
 *
 * See also: chunk-reader.ts, transmission.ts (the caller), protocol.ts.
 */
import { assert } from "../base/assert.js";
import type { ChunkReader } from "./chunk-reader.js";
import { command, magic, wireBytes } from "./protocol.js";

/** needMore: push a chunk. payload: the buffer of fillPayload is full. skipped: the payload is gone. broken: not NBD. */
export type RequestStep = "needMore" | "request" | "payload" | "skipped" | "broken";

/** What a request asks; the cookie is the client's and comes back in the reply. */
export interface RequestFields {
  type: number;
  flags: number;
  cookieHigh: number;
  cookieLow: number;
  /** Past 2^53 not exact; still past the end of any device. */
  position: number;
  length: number;
}

const nothing = Buffer.alloc(0);

export class RequestParser implements RequestFields {
  type = 0;
  flags = 0;
  cookieHigh = 0;
  cookieLow = 0;
  position = 0;
  length = 0;
  /** Bytes of the present payload that were received. */
  filled = 0;
  readonly #reader: ChunkReader;
  #state: "header" | "undecided" | "fill" | "skip" | "broken" = "header";
  #target: Uint8Array = nothing;
  #skipBytes = 0;

  constructor(reader: ChunkReader) {
    this.#reader = reader;
  }

  /** In the middle of a payload: the next step takes no new request. */
  get receiving(): boolean {
    return this.#state === "fill" || this.#state === "skip";
  }

  /** Bytes of the present payload that came, kept or not. */
  get receivedBytes(): number {
    return this.#state === "skip" ? this.length - this.#skipBytes : this.filled;
  }

  next(): RequestStep {
    switch (this.#state) {
      case "header":
        return this.#header();
      case "fill":
        this.filled = this.#reader.fill(this.#target, this.filled);
        if (this.filled < this.#target.length) return "needMore";
        this.#target = nothing;
        this.#state = "header";
        return "payload";
      case "skip":
        this.#skipBytes -= this.#reader.skip(this.#skipBytes);
        if (this.#skipBytes > 0) return "needMore";
        this.#state = "header";
        return "skipped";
      case "broken":
        return "broken";
      case "undecided":
        assert(false, "the caller decided about the payload");
    }
  }

  /** The payload without a copy, if the present chunk has all of it. */
  peekPayload(): Buffer | undefined {
    assert(this.#state === "undecided", "a write's payload is next");
    return this.#reader.peek(this.length);
  }

  acceptPayload(): void {
    assert(this.#state === "undecided", "a write's payload is next");
    const got = this.#reader.skip(this.length);
    assert(got === this.length, "the payload was whole");
    this.#state = "header";
  }

  fillPayload(target: Uint8Array): void {
    assert(this.#state === "undecided" && target.length === this.length, "a buffer of the payload's length");
    this.#target = target;
    this.filled = 0;
    this.#state = "fill";
  }

  skipPayload(): void {
    assert(this.#state === "undecided", "a write's payload is next");
    this.#skipBytes = this.length;
    this.#state = "skip";
  }

  #header(): RequestStep {
    const reader = this.#reader;
    if (!reader.take(wireBytes.requestHeader)) return "needMore";
    const { field, at } = reader;
    if (field.readUInt32BE(at) !== magic.request) {
      this.#state = "broken";
      return "broken";
    }
    this.flags = field.readUInt16BE(at + 4);
    this.type = field.readUInt16BE(at + 6);
    this.cookieHigh = field.readUInt32BE(at + 8);
    this.cookieLow = field.readUInt32BE(at + 12);
    this.position = field.readUInt32BE(at + 16) * 2 ** 32 + field.readUInt32BE(at + 20);
    this.length = field.readUInt32BE(at + 24);
    if (this.type === command.write && this.length > 0) this.#state = "undecided";
    return "request";
  }
}
