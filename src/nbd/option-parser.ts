/**
 * The handshake, incrementally: the client's flags, then options until one of them leads to transmission.
 *
 * Invariants: an option's data is held only up to limits.nbdOptionBytesMax; longer data is skipped and told as
 * "tooBig". Any split of the same bytes gives the same steps. What follows the last option stays in the reader.
 *
 * See also: chunk-reader.ts, options.ts (the answers), connection.ts (the caller).
 */
import { limits } from "../base/limits.js";
import type { ChunkReader } from "./chunk-reader.js";
import { magic, wireBytes } from "./protocol.js";

/** flags: `clientFlags` is set. option: `type` and `data` are. tooBig: `type` is, its data is gone. */
export type OptionStep = "needMore" | "flags" | "option" | "tooBig" | "broken";

const nothing = Buffer.alloc(0);

export class OptionParser {
  clientFlags = 0;
  type = 0;
  /** Valid until next(). */
  data: Buffer = nothing;
  readonly #reader: ChunkReader;
  #state: "flags" | "header" | "data" | "skip" | "broken" = "flags";
  #filled = 0;
  #skipBytes = 0;

  constructor(reader: ChunkReader) {
    this.#reader = reader;
  }

  next(): OptionStep {
    const reader = this.#reader;
    if (this.#state === "broken") return "broken";
    if (this.#state === "flags") {
      if (!reader.take(wireBytes.clientFlags)) return "needMore";
      this.clientFlags = reader.field.readUInt32BE(reader.at);
      this.#state = "header";
      return "flags";
    }
    if (this.#state === "header") {
      if (!reader.take(wireBytes.optionHeader)) return "needMore";
      this.#header(reader.field, reader.at);
    }
    return this.#body();
  }

  #header(field: Buffer, at: number): void {
    if (field.readUInt32BE(at) !== magic.optionHigh || field.readUInt32BE(at + 4) !== magic.optionLow) {
      this.#state = "broken";
      return;
    }
    this.type = field.readUInt32BE(at + 8);
    const length = field.readUInt32BE(at + 12);
    if (length > limits.nbdOptionBytesMax) {
      this.data = nothing;
      this.#skipBytes = length;
      this.#state = "skip";
      return;
    }
    this.data = length === 0 ? nothing : Buffer.allocUnsafeSlow(length);
    this.#filled = 0;
    this.#state = "data";
  }

  #body(): OptionStep {
    if (this.#state === "data") {
      this.#filled = this.#reader.fill(this.data, this.#filled);
      if (this.#filled < this.data.length) return "needMore";
      this.#state = "header";
      return "option";
    }
    if (this.#state === "skip") {
      this.#skipBytes -= this.#reader.skip(this.#skipBytes);
      if (this.#skipBytes > 0) return "needMore";
      this.#state = "header";
      return "tooBig";
    }
    return "broken";
  }
}
