/**
 * The server's half of the handshake: which answer each option gets, and the export that transmission is about.
 *
 * Invariants: pure (options in, bytes out through `send`); every option but EXPORT_NAME is answered, unknown ones with
 * "unsupported"; an option whose data has a wrong shape changes nothing. Offers no extended headers or contexts. Where TLS is
 * required (the protocol's FORCEDTLS), nothing but ABORT and STARTTLS does anything before it, so no state from the time
 * before can be carried into it.
 *
 * See also: option-parser.ts (before), connection.ts (the caller), request-check.ts (what the flags told here promise).
 */
import { limits } from "../base/limits.js";
import type { NbdDevice } from "./device.js";
import {
  blockSizes,
  handshakeFlag,
  infoType,
  magic,
  option,
  optionReply,
  transmissionFlag,
  wireBytes,
} from "./protocol.js";

export type NbdExports = ReadonlyMap<string, NbdDevice>;

/** transmission: `device` is set. secure: TLS comes next, after our reply. end: the client wants to leave, or no answer is possible. */
export type OptionOutcome = "goOn" | "transmission" | "secure" | "end";

/** unavailable: there is none. required: nothing goes without it. established: it is there. */
export type TlsState = "unavailable" | "required" | "established";

const nothing = Buffer.alloc(0);
const noData = "STARTTLS takes no data";

/** The export of a name; "" is the first where no export is called so. */
export function findExport(exports: NbdExports, name: string): { name: string; device: NbdDevice } | undefined {
  const device = exports.get(name);
  if (device !== undefined) return { name, device };
  if (name !== "") return undefined;
  const [first] = exports;
  return first === undefined ? undefined : { name: first[0], device: first[1] };
}

/** What the server says it can do with `device`. */
export function transmissionFlags(device: NbdDevice, structured: boolean): number {
  const f = transmissionFlag;
  const writing = device.readOnly ? f.readOnly : f.sendTrim | f.sendWriteZeroes | f.sendFastZero;
  const always = f.hasFlags | f.sendFlush | f.sendFua | f.canMultiConn | f.sendCache;
  return always | writing | (structured ? f.sendDf : 0);
}

export function greeting(): Buffer {
  const bytes = Buffer.alloc(wireBytes.greeting);
  bytes.writeUInt32BE(magic.greetingHigh, 0);
  bytes.writeUInt32BE(magic.greetingLow, 4);
  bytes.writeUInt32BE(magic.optionHigh, 8);
  bytes.writeUInt32BE(magic.optionLow, 12);
  bytes.writeUInt16BE(handshakeFlag.fixedNewstyle | handshakeFlag.noZeroes, 16);
  return bytes;
}

export class Handshake {
  device: NbdDevice | undefined;
  exportName = "";
  structured = false;
  tls: TlsState;
  readonly #exports: NbdExports;
  readonly #send: (bytes: Buffer) => void;
  #noZeroes = false;
  #fixed = false;

  constructor(exports: NbdExports, tls: TlsState, send: (bytes: Buffer) => void) {
    this.#exports = exports;
    this.tls = tls;
    this.#send = send;
  }

  /** False if the client wants what nobody offered. */
  acceptFlags(flags: number): boolean {
    this.#noZeroes = (flags & handshakeFlag.noZeroes) !== 0;
    this.#fixed = (flags & handshakeFlag.fixedNewstyle) !== 0;
    return (flags & ~(handshakeFlag.fixedNewstyle | handshakeFlag.noZeroes)) === 0;
  }

  answer(type: number, data: Buffer): OptionOutcome {
    const waits = this.tls === "required";
    if (type === option.exportName) return waits ? "end" : this.#exportName(data);
    if (!this.#fixed) return "end";
    if (type === option.startTls) return this.#startTls(data);
    if (waits && type !== option.abort) return this.#refuseWithoutTls(type);
    switch (type) {
      case option.abort:
        this.#reply(type, optionReply.ack);
        return "end";
      case option.list:
        return data.length > 0 ? this.#refuse(type, optionReply.invalid, "LIST takes no data") : this.#list();
      case option.structuredReply:
        if (data.length > 0) return this.#refuse(type, optionReply.invalid, "STRUCTURED_REPLY takes no data");
        this.structured = true;
        this.#reply(type, optionReply.ack);
        return "goOn";
      case option.info:
      case option.go:
        return this.#information(type, data);
      default:
        return this.#refuse(type, optionReply.unsupported, "this server does not know the option");
    }
  }

  /** An option whose data was longer than anything we know of. */
  answerTooBig(type: number): OptionOutcome {
    if (type === option.exportName || !this.#fixed) return "end";
    if (type === option.startTls && this.tls !== "unavailable") return this.#refuse(type, optionReply.invalid, noData);
    if (this.tls === "required" && type !== option.abort) return this.#refuseWithoutTls(type);
    const known = type === option.list || type === option.info || type === option.go || type === option.structuredReply;
    if (type === option.abort) return this.answer(type, nothing);
    const code = known ? optionReply.tooBig : optionReply.unsupported;
    return this.#refuse(type, code, `at most ${limits.nbdOptionBytesMax} bytes of option data are read`);
  }

  #startTls(data: Buffer): OptionOutcome {
    const type = option.startTls;
    if (this.tls === "unavailable") return this.#refuse(type, optionReply.unsupported, "this server has no TLS");
    if (data.length > 0) return this.#refuse(type, optionReply.invalid, noData);
    if (this.tls === "established") return this.#refuse(type, optionReply.invalid, "TLS is there already");
    this.#reply(type, optionReply.ack);
    return "secure";
  }

  #refuseWithoutTls(type: number): OptionOutcome {
    return this.#refuse(type, optionReply.tlsRequired, "this server wants STARTTLS first");
  }

  #exportName(data: Buffer): OptionOutcome {
    const found =
      data.length > limits.nbdExportNameBytesMax ? undefined : findExport(this.#exports, data.toString("utf8"));
    if (found === undefined) return "end";
    this.device = found.device;
    this.exportName = found.name;
    const bytes = Buffer.alloc(wireBytes.exportNameReply + (this.#noZeroes ? 0 : wireBytes.exportNameZeroes));
    this.#writeExport(bytes, 0, found.device);
    this.#send(bytes);
    return "transmission";
  }

  #list(): OptionOutcome {
    for (const name of this.#exports.keys()) {
      const text = Buffer.from(name, "utf8");
      const data = Buffer.alloc(4 + text.length);
      data.writeUInt32BE(text.length, 0);
      text.copy(data, 4);
      this.#reply(option.list, optionReply.server, data);
    }
    this.#reply(option.list, optionReply.ack);
    return "goOn";
  }

  #information(type: number, data: Buffer): OptionOutcome {
    if (data.length < 6) return this.#refuse(type, optionReply.invalid, "the data is cut short");
    const nameBytes = data.readUInt32BE(0);
    if (nameBytes > data.length - 6) return this.#refuse(type, optionReply.invalid, "the name is longer than the data");
    if (nameBytes > limits.nbdExportNameBytesMax) return this.#refuse(type, optionReply.tooBig, "the name is too long");
    const requests = data.readUInt16BE(4 + nameBytes);
    if (data.length !== 6 + nameBytes + 2 * requests)
      return this.#refuse(type, optionReply.invalid, "a wrong number of requests");
    const found = findExport(this.#exports, data.toString("utf8", 4, 4 + nameBytes));
    if (found === undefined) return this.#refuse(type, optionReply.unknownExport, "no export has this name");

    const wanted = new Set<number>([infoType.export]);
    for (let i = 0; i < requests; i++) wanted.add(data.readUInt16BE(6 + nameBytes + 2 * i));
    for (const information of wanted) this.#inform(type, information, found);
    this.#reply(type, optionReply.ack);
    if (type !== option.go) return "goOn";
    this.device = found.device;
    this.exportName = found.name;
    return "transmission";
  }

  /** One INFO reply; for kinds that we do not know there is none. */
  #inform(type: number, information: number, found: { name: string; device: NbdDevice }): void {
    const { name, device } = found;
    if (information === infoType.export) {
      const data = Buffer.alloc(12);
      data.writeUInt16BE(information, 0);
      this.#writeExport(data, 2, device);
      this.#reply(type, optionReply.info, data);
    } else if (information === infoType.blockSize) {
      const data = Buffer.alloc(14);
      data.writeUInt16BE(information, 0);
      data.writeUInt32BE(blockSizes.minimum, 2);
      data.writeUInt32BE(blockSizes.preferred, 6);
      data.writeUInt32BE(limits.nbdRequestBytesMax, 10);
      this.#reply(type, optionReply.info, data);
    } else {
      const text =
        information === infoType.name ? name : information === infoType.description ? device.description : undefined;
      if (text === undefined) return;
      const bytes = Buffer.from(text, "utf8").subarray(0, limits.nbdExportNameBytesMax);
      const data = Buffer.alloc(2 + bytes.length);
      data.writeUInt16BE(information, 0);
      bytes.copy(data, 2);
      this.#reply(type, optionReply.info, data);
    }
  }

  #writeExport(target: Buffer, at: number, device: NbdDevice): void {
    const size = device.sizeBytes;
    target.writeUInt32BE(Math.floor(size / 2 ** 32), at);
    target.writeUInt32BE(size % 2 ** 32, at + 4);
    target.writeUInt16BE(transmissionFlags(device, this.structured), at + 8);
  }

  #refuse(type: number, code: number, message: string): OptionOutcome {
    this.#reply(type, code, Buffer.from(message, "utf8"));
    return "goOn";
  }

  #reply(type: number, code: number, data: Buffer = nothing): void {
    const bytes = Buffer.alloc(wireBytes.optionReplyHeader + data.length);
    bytes.writeUInt32BE(magic.optionReplyHigh, 0);
    bytes.writeUInt32BE(magic.optionReplyLow, 4);
    bytes.writeUInt32BE(type, 8);
    bytes.writeUInt32BE(code, 12);
    bytes.writeUInt32BE(data.length, 16);
    data.copy(bytes, wireBytes.optionReplyHeader);
    this.#send(bytes);
  }
}
