/**
 * What a server has to do with a stream of bytes: read straight from the protocol's text, over the whole of the bytes at once, without any
 * code of the server's. The numbers of errors are those that src/nbd/README.md and request-check.ts promise.
 *
 * See also: answers.ts (compares), grammar.ts. Source: doc/proto.md of github.com/NetworkBlockDevice/nbd.
 */
import { limits } from "../../../src/base/limits.js";
import { diskBytes, type Stream } from "./grammar.js";

export interface ExpectedOption {
  readonly type: number;
  /** The last reply's code; those before it are LIST's and INFO's. */
  readonly code: number;
}

export interface ExpectedRequest {
  /** Both halves of the cookie. */
  readonly cookie: string;
  readonly type: number;
  readonly position: number;
  readonly length: number;
  /** 0: success. */
  readonly error: number;
  readonly payload: Buffer | undefined;
}

export interface Expectation {
  readonly options: readonly ExpectedOption[];
  /** Bytes of the reply to EXPORT_NAME, which has no header; 0 without one. */
  readonly exportNameBytes: number;
  readonly structured: boolean;
  readonly requests: readonly ExpectedRequest[];
  /** open: goes on. left: everything is answered, then the end. broken: the end. secured: TLS comes next, or the end. */
  readonly end: "open" | "left" | "broken" | "secured";
}

const ack = 1;
const unsupported = 0x80000001;
const invalid = 0x80000003;
const tlsRequired = 0x80000005;
const unknownExport = 0x80000006;
const tooBig = 0x80000009;

interface Draft {
  at: number;
  options: ExpectedOption[];
  exportNameBytes: number;
  structured: boolean;
  readOnly: boolean;
  requests: ExpectedRequest[];
}

type Phase = Expectation["end"] | "transmission";

export function expect(stream: Stream): Expectation {
  const draft: Draft = { at: 0, options: [], exportNameBytes: 0, structured: false, readOnly: false, requests: [] };
  const phase = negotiation(stream, draft);
  return { ...draft, end: phase === "transmission" ? transmission(stream.bytes, draft) : phase };
}

function negotiation({ bytes, tls }: Stream, draft: Draft): Phase {
  if (bytes.length < 4) return "open";
  const flags = bytes.readUInt32BE(0);
  if (flags > 3) return "broken";
  const fixed = (flags & 1) !== 0;
  const zeroes = (flags & 2) === 0;
  draft.at = 4;
  for (let seen = 1; ; seen++) {
    if (bytes.length - draft.at < 16) return "open";
    if (bytes.toString("latin1", draft.at, draft.at + 8) !== "IHAVEOPT") return "broken";
    const type = bytes.readUInt32BE(draft.at + 8);
    const length = bytes.readUInt32BE(draft.at + 12);
    if (bytes.length - draft.at - 16 < length) return "open";
    if (seen > limits.nbdOptionsMax) return "broken";
    const data = bytes.subarray(draft.at + 16, draft.at + 16 + length);
    draft.at += 16 + length;
    if (type === 1) return exportName(data, draft, tls, zeroes);
    if (!fixed) return "left";
    const code = answerOf(type, data, draft, tls);
    draft.options.push({ type, code });
    if (type === 2) return "left";
    if (type === 5 && code === ack) return "secured";
    if (type === 7 && code === ack) return "transmission";
  }
}

function exportName(data: Buffer, draft: Draft, tls: boolean, zeroes: boolean): Phase {
  const name = data.toString("utf8");
  if (tls || !["", "disk", "fixed"].includes(name)) return "left";
  draft.exportNameBytes = zeroes ? 134 : 10;
  draft.readOnly = name === "fixed";
  return "transmission";
}

function answerOf(type: number, data: Buffer, draft: Draft, tls: boolean): number {
  if (type === 2) return ack;
  if (type === 5) return tls ? (data.length > 0 ? invalid : ack) : unsupported;
  if (tls) return tlsRequired;
  const known = [3, 6, 7, 8].includes(type);
  if (!known) return unsupported;
  if (data.length > limits.nbdOptionBytesMax) return tooBig;
  if (type === 3 || type === 8) {
    if (data.length > 0) return invalid;
    if (type === 8) draft.structured = true;
    return ack;
  }
  if (data.length < 6) return invalid;
  const nameBytes = data.readUInt32BE(0);
  if (nameBytes + 6 > data.length) return invalid;
  if (nameBytes > limits.nbdExportNameBytesMax) return tooBig;
  if (data.length !== 6 + nameBytes + 2 * data.readUInt16BE(4 + nameBytes)) return invalid;
  const name = data.toString("utf8", 4, 4 + nameBytes);
  if (!["", "disk", "fixed"].includes(name)) return unknownExport;
  draft.readOnly = name === "fixed";
  return ack;
}

function transmission(bytes: Buffer, draft: Draft): Expectation["end"] {
  for (;;) {
    const { at } = draft;
    if (bytes.length - at < 28) return bytes.length - at >= 28 ? "broken" : "open";
    if (bytes.readUInt32BE(at) !== 0x25609513) return "broken";
    const flags = bytes.readUInt16BE(at + 4);
    const type = bytes.readUInt16BE(at + 6);
    const cookie = bytes.toString("hex", at + 8, at + 16);
    const start = bytes.readBigUInt64BE(at + 16);
    const length = bytes.readUInt32BE(at + 24);
    draft.at = at + 28;
    if (type === 2) return "left";
    const error = errorOf(type, flags, start, length, draft);
    let payload: Buffer | undefined;
    if (type === 1) {
      if (error !== 0 && length > limits.nbdSkipBytesMax) return "broken";
      if (bytes.length - draft.at < length) return "open";
      payload = bytes.subarray(draft.at, draft.at + length);
      draft.at += length;
    }
    draft.requests.push({ cookie, type, position: Number(start), length, error, payload });
  }
}

const fua = 1;
const flagsOf = [fua | 4, fua, fua, fua, fua, fua, fua | 2 | 16];

function errorOf(type: number, flags: number, start: bigint, length: number, draft: Draft): number {
  if (type > 6) return 22;
  if ((flags & ~(flagsOf[type] ?? 0)) !== 0 || ((flags & 4) !== 0 && !draft.structured)) return 22;
  if (type === 3) return 0;
  const stores = type === 1 || type === 6;
  if (draft.readOnly && (stores || type === 4)) return 1;
  if (start + BigInt(length) > BigInt(diskBytes)) return stores ? 28 : 22;
  // The disk of a run cannot zero faster than it writes.
  return type === 6 && (flags & 16) !== 0 && length > 0 ? 95 : 0;
}
