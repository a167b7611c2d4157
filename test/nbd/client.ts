/**
 * A small NBD client for tests: many requests in flight, replies in any order, simple and structured, and raw bytes for
 * misbehaving. Not for production: it keeps everything in memory and trusts nothing but reports everything.
 *
 * Invariants: every request's promise settles: with the reply, with an NbdReplyError, or with the connection's end.
 *
 *   const client = await NbdClient.connect(server.address());
 *   await client.go("", { structured: true });
 *   await client.write(0, bytes); const back = await client.read(0, 4096); await client.disconnect();
 */
import { type Socket, connect } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import type { NbdAddress } from "../../src/nbd/address.js";
import {
  chunkFlagDone,
  chunkType,
  command,
  commandFlag,
  magic,
  option,
  optionReply,
  wireBytes,
} from "../../src/nbd/protocol.js";

/** The server answered with an error. */
export class NbdReplyError extends Error {
  override readonly name = "NbdReplyError";
  readonly number: number;
  constructor(number: number, message: string) {
    super(`NBD error ${number}${message === "" ? "" : `: ${message}`}`);
    this.number = number;
  }
}

export interface OptionAnswer {
  readonly code: number;
  readonly data: Buffer;
}

interface Pending {
  readonly type: number;
  readonly position: number;
  readonly data: Buffer;
  received: number;
  chunks: number;
  error: NbdReplyError | undefined;
  readonly resolve: (data: Buffer) => void;
  readonly reject: (error: Error) => void;
}

export class NbdClient {
  readonly socket: Socket;
  /** From the export information. */
  sizeBytes = 0;
  flags = 0;
  structured = false;
  /** Cookies in the order of their replies. */
  readonly replyOrder: number[] = [];
  /** Structured chunks seen. */
  chunks = 0;
  #buffer: Buffer = Buffer.alloc(0);
  #cookie = 0;
  readonly #pending = new Map<number, Pending>();
  #wanted: { bytes: number; resolve: (data: Buffer) => void; reject: (error: Error) => void } | undefined;
  #transmission = false;
  #parts: Buffer[] = [];
  #partsBytes = 0;
  readonly ended: Promise<void>;
  #over = false;
  #greeted: boolean;

  constructor(socket: Socket, greeted = false) {
    this.socket = socket;
    this.#greeted = greeted;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#received(chunk));
    socket.on("error", () => {});
    this.ended = new Promise((resolve) => {
      socket.on("close", () => {
        this.#over = true;
        const error = new Error("the connection ended");
        this.#wanted?.reject(error);
        for (const pending of this.#pending.values()) pending.reject(error);
        this.#pending.clear();
        resolve();
      });
    });
  }

  static async connect(address: NbdAddress): Promise<NbdClient> {
    const socket = connect(address);
    const client = new NbdClient(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return client;
  }

  /** greet, STARTTLS, and the client that speaks over TLS from then on. Rejects where the server's side is not to be trusted. */
  async secure(tls: ConnectionOptions): Promise<NbdClient> {
    await this.greet();
    const [answer] = await this.option(option.startTls);
    if (answer?.code !== optionReply.ack) throw new NbdReplyError(answer?.code ?? 0, "no TLS");
    this.socket.removeAllListeners("data");
    const secured = connectTls({ ...tls, socket: this.socket });
    const client = new NbdClient(secured, true);
    await new Promise<void>((resolve, reject) => {
      secured.once("secureConnect", resolve);
      secured.once("error", reject);
      secured.once("close", () => reject(new Error("the connection ended in the TLS handshake")));
    });
    return client;
  }

  get over(): boolean {
    return this.#over;
  }

  /** Requests without a reply. */
  get inFlight(): number {
    return this.#pending.size;
  }

  /** Reads the greeting and answers it. Returns the server's handshake flags. */
  async greet(clientFlags = 3): Promise<number> {
    const bytes = await this.#want(wireBytes.greeting);
    if (bytes.readUInt32BE(0) !== magic.greetingHigh || bytes.readUInt32BE(8) !== magic.optionHigh)
      throw new Error("not a greeting");
    const flags = Buffer.alloc(4);
    flags.writeUInt32BE(clientFlags);
    this.socket.write(flags);
    return bytes.readUInt16BE(16);
  }

  /** Sends an option and returns its replies, the last of which is an ACK or an error. */
  async option(type: number, data: Uint8Array = Buffer.alloc(0)): Promise<OptionAnswer[]> {
    this.socket.write(Buffer.concat([optionHeader(type, data.length), data]));
    const answers: OptionAnswer[] = [];
    for (;;) {
      const header = await this.#want(wireBytes.optionReplyHeader);
      if (header.readUInt32BE(8) !== type) throw new Error("an answer to another option");
      const code = header.readUInt32BE(12);
      answers.push({ code, data: await this.#want(header.readUInt32BE(16)) });
      if (code === optionReply.ack || code >= 0x80000000) return answers;
    }
  }

  /** greet, STRUCTURED_REPLY if wanted, GO. Throws if the export is refused. */
  async go(name = "", options: { structured?: boolean; information?: number[] } = {}): Promise<OptionAnswer[]> {
    if (!this.#greeted) await this.greet();
    if (options.structured === true) {
      const [answer] = await this.option(option.structuredReply);
      this.structured = answer?.code === optionReply.ack;
    }
    const answers = await this.option(option.go, goData(name, options.information ?? []));
    const last = answers.at(-1);
    if (last?.code !== optionReply.ack) throw new NbdReplyError(last?.code ?? 0, last?.data.toString() ?? "");
    for (const { code, data } of answers) {
      if (code !== optionReply.info || data.readUInt16BE(0) !== 0) continue;
      this.sizeBytes = Number(data.readBigUInt64BE(2));
      this.flags = data.readUInt16BE(10);
    }
    this.#begin();
    return answers;
  }

  /** greet, EXPORT_NAME. Rejects if the server hangs up. */
  async exportName(name = "", options: { noZeroes?: boolean } = {}): Promise<void> {
    const noZeroes = options.noZeroes ?? true;
    await this.greet(noZeroes ? 3 : 1);
    const data = Buffer.from(name);
    this.socket.write(Buffer.concat([optionHeader(option.exportName, data.length), data]));
    const bytes = await this.#want(wireBytes.exportNameReply + (noZeroes ? 0 : wireBytes.exportNameZeroes));
    this.sizeBytes = Number(bytes.readBigUInt64BE(0));
    this.flags = bytes.readUInt16BE(8);
    this.#begin();
  }

  read(position: number, length: number, flags = 0): Promise<Buffer> {
    return this.request(command.read, position, length, flags);
  }

  async write(position: number, data: Uint8Array, options: { fua?: boolean } = {}): Promise<void> {
    await this.request(command.write, position, data.length, options.fua === true ? commandFlag.fua : 0, data);
  }

  async flush(): Promise<void> {
    await this.request(command.flush, 0, 0);
  }

  async trim(position: number, length: number, flags = 0): Promise<void> {
    await this.request(command.trim, position, length, flags);
  }

  async writeZeroes(position: number, length: number, flags = 0): Promise<void> {
    await this.request(command.writeZeroes, position, length, flags);
  }

  async cache(position: number, length: number): Promise<void> {
    await this.request(command.cache, position, length);
  }

  /** Any request, right or wrong. Resolves with a read's data. `length` and the payload's may differ. */
  request(type: number, position: number, length: number, flags = 0, payload?: Uint8Array): Promise<Buffer> {
    const cookie = this.#cookie++;
    const header = requestHeader({ type, flags, cookie, position, length });
    this.socket.cork();
    this.socket.write(header);
    if (payload !== undefined && payload.length > 0) this.socket.write(payload);
    this.socket.uncork();
    return new Promise((resolve, reject) => {
      if (this.#over) {
        reject(new Error("the connection ended"));
        return;
      }
      const data = type === command.read && length <= 2 ** 26 ? Buffer.alloc(length) : Buffer.alloc(0);
      this.#pending.set(cookie, { type, position, data, received: 0, chunks: 0, error: undefined, resolve, reject });
    });
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  /** DISC, and waits until the server hung up. */
  async disconnect(): Promise<void> {
    this.raw(requestHeader({ type: command.disconnect, flags: 0, cookie: 0xffff, position: 0, length: 0 }));
    this.socket.end();
    await this.ended;
  }

  destroy(): void {
    this.socket.destroy();
  }

  #begin(): void {
    this.#transmission = true;
    this.#parse();
  }

  #want(bytes: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.#over) {
        reject(new Error("the connection ended"));
        return;
      }
      this.#wanted = { bytes, resolve, reject };
      this.#parse();
    });
  }

  #received(chunk: Buffer): void {
    this.#parts.push(chunk);
    this.#partsBytes += chunk.length;
    this.#parse();
  }

  /** The first `length` bytes if they are there, without consuming them. */
  #peek(length: number): Buffer | undefined {
    if (this.#buffer.length >= length) return this.#buffer;
    if (this.#buffer.length + this.#partsBytes < length) return undefined;
    this.#buffer = Buffer.concat([this.#buffer, ...this.#parts]);
    this.#parts = [];
    this.#partsBytes = 0;
    return this.#buffer;
  }

  #consume(length: number): Buffer {
    const bytes = this.#buffer.subarray(0, length);
    this.#buffer = this.#buffer.subarray(length);
    return bytes;
  }

  #parse(): void {
    if (!this.#transmission) {
      const wanted = this.#wanted;
      if (wanted === undefined || this.#peek(wanted.bytes) === undefined) return;
      this.#wanted = undefined;
      wanted.resolve(this.#consume(wanted.bytes));
      return;
    }
    while (this.#reply()) {
      // One reply or chunk each time.
    }
  }

  #reply(): boolean {
    const head = this.#peek(wireBytes.simpleReplyHeader);
    if (head === undefined) return false;
    const first = head.readUInt32BE(0);
    if (first === magic.simpleReply) return this.#simple(head);
    if (first === magic.structuredReply) return this.#chunk();
    this.socket.destroy(new Error("not a reply"));
    return false;
  }

  #simple(head: Buffer): boolean {
    const number = head.readUInt32BE(4);
    const pending = this.#find(head.readUInt32BE(12));
    const length = number === 0 ? pending.data.length : 0;
    if (this.structured && pending.type === command.read)
      throw new Error("a simple reply to a read after structured replies were agreed");
    if (this.#peek(wireBytes.simpleReplyHeader + length) === undefined) return false;
    const cookie = this.#consume(wireBytes.simpleReplyHeader).readUInt32BE(12);
    this.#consume(length).copy(pending.data);
    if (number !== 0) pending.error = new NbdReplyError(number, "");
    pending.received += length;
    this.#finish(cookie, pending);
    return true;
  }

  #chunk(): boolean {
    const head = this.#peek(wireBytes.chunkHeader);
    if (head === undefined) return false;
    const length = head.readUInt32BE(16);
    if (this.#peek(wireBytes.chunkHeader + length) === undefined) return false;
    const header = this.#consume(wireBytes.chunkHeader);
    const cookie = header.readUInt32BE(12);
    const pending = this.#find(cookie);
    const body = this.#consume(length);
    const type = header.readUInt16BE(6);
    this.chunks++;
    pending.chunks++;
    if (type === chunkType.offsetData) {
      body.copy(pending.data, Number(body.readBigUInt64BE(0)) - pending.position, 8);
      pending.received += length - 8;
    } else if (type === chunkType.error) {
      pending.error = new NbdReplyError(body.readUInt32BE(0), body.toString("utf8", 6, 6 + body.readUInt16BE(4)));
    } else if (type !== chunkType.none || length !== 0) {
      throw new Error(`unknown chunk ${type}`);
    }
    if ((header.readUInt16BE(4) & chunkFlagDone) !== 0) this.#finish(cookie, pending);
    return true;
  }

  #find(cookie: number): Pending {
    const pending = this.#pending.get(cookie);
    if (pending === undefined) throw new Error(`a reply to nothing: ${cookie}`);
    return pending;
  }

  #finish(cookie: number, pending: Pending): void {
    this.#pending.delete(cookie);
    this.replyOrder.push(cookie);
    if (pending.error !== undefined) pending.reject(pending.error);
    else if (pending.received !== pending.data.length)
      pending.reject(new Error("a read reply does not cover its range"));
    else pending.resolve(pending.data);
  }
}

export function optionHeader(type: number, length: number): Buffer {
  const bytes = Buffer.alloc(wireBytes.optionHeader);
  bytes.writeUInt32BE(magic.optionHigh, 0);
  bytes.writeUInt32BE(magic.optionLow, 4);
  bytes.writeUInt32BE(type, 8);
  bytes.writeUInt32BE(length, 12);
  return bytes;
}

export function goData(name: string, information: readonly number[]): Buffer {
  const text = Buffer.from(name);
  const data = Buffer.alloc(6 + text.length + 2 * information.length);
  data.writeUInt32BE(text.length, 0);
  text.copy(data, 4);
  data.writeUInt16BE(information.length, 4 + text.length);
  information.forEach((kind, i) => data.writeUInt16BE(kind, 6 + text.length + 2 * i));
  return data;
}

export function requestHeader(fields: {
  type: number;
  flags: number;
  cookie: number;
  position: number;
  length: number;
}): Buffer {
  const bytes = Buffer.alloc(wireBytes.requestHeader);
  bytes.writeUInt32BE(magic.request, 0);
  bytes.writeUInt16BE(fields.flags, 4);
  bytes.writeUInt16BE(fields.type, 6);
  bytes.writeUInt32BE(fields.cookie, 12);
  bytes.writeBigUInt64BE(BigInt(fields.position), 16);
  bytes.writeUInt32BE(fields.length, 24);
  return bytes;
}
