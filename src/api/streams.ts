/**
 * Streams over a cached file, and sending a range to a socket from the cache's own bytes.
 */
import { Readable, Writable } from "node:stream";
import { PinfoldError } from "../base/errors.js";
import { checkRange, checkWhole } from "../base/ranges.js";
import { checkEncoding, checkFlag, checkObject, checkSignal } from "./arguments.js";

export interface StreamOptions {
  /** First byte. Default: the file's own position, which moves on with the stream. */
  start?: number;
  /** Last byte, inclusive, as in node:fs (read streams). */
  end?: number;
  highWaterMark?: number;
  encoding?: BufferEncoding;
  /** Close the file when the stream ends. Default true, as on FileHandle. */
  autoClose?: boolean;
  signal?: AbortSignal;
}

export interface FileReadStream extends Readable {
  /** Bytes read so far. */
  readonly bytesRead: number;
}

export interface FileWriteStream extends Writable {
  /** Bytes written so far. */
  readonly bytesWritten: number;
}

/** What streams need of a file. */
interface StreamFile {
  readonly size: number;
  readonly pageSize: number;
  read(buffer: Buffer, offset: number, length: number, position: number | null): Promise<{ bytesRead: number }>;
  write(buffer: Uint8Array, offset: number, length: number, position: number | null): Promise<{ bytesWritten: number }>;
  getUserPages(
    position: number,
    length: number,
    options: { longterm: true; signal?: AbortSignal },
  ): Promise<Iterable<{ bytes: Uint8Array }> & { put(): void }>;
  close(): Promise<void>;
}

const defaultChunk = 65_536;

/** @throws PinfoldError EINVAL, EFBIG */
function parseOptions(options: StreamOptions | BufferEncoding, pageSize: number): StreamOptions {
  const given = typeof options === "string" ? { encoding: options } : options;
  checkObject(given, "options");
  checkEncoding(given.encoding);
  checkFlag(given.autoClose, "autoClose");
  checkSignal(given.signal);
  if (given.highWaterMark !== undefined) checkWhole(given.highWaterMark, "highWaterMark");
  if (given.start !== undefined) checkRange(given.start, 0, pageSize);
  if (given.end !== undefined && given.end !== Number.POSITIVE_INFINITY) checkRange(given.end, 0, pageSize);
  if ((given.end ?? Number.POSITIVE_INFINITY) < (given.start ?? 0)) {
    throw new PinfoldError("EINVAL", `end (${given.end}) lies before start (${given.start ?? 0})`);
  }
  return given;
}

class ReadStream extends Readable implements FileReadStream {
  readonly #file: StreamFile;
  readonly #autoClose: boolean;
  /** Where the next chunk begins; undefined: at the file's own position. */
  #position: number | undefined;
  #left: number;
  bytesRead = 0;

  constructor(file: StreamFile, options: StreamOptions) {
    super({
      highWaterMark: options.highWaterMark ?? defaultChunk,
      ...(options.encoding ? { encoding: options.encoding } : {}),
      ...(options.signal ? { signal: options.signal } : {}),
    });
    this.#file = file;
    this.#autoClose = options.autoClose !== false;
    this.#position = options.start;
    // As in Node, `end` counts from the file's begin where `start` is given, else from the stream's.
    this.#left = (options.end ?? Number.POSITIVE_INFINITY) - (options.start ?? 0) + 1;
  }

  override _read(size: number): void {
    const length = Math.min(size, this.#left);
    if (length <= 0) {
      this.push(null);
      return;
    }
    const buffer = Buffer.allocUnsafe(length);
    this.#file.read(buffer, 0, length, this.#position ?? null).then(
      ({ bytesRead }) => {
        this.bytesRead += bytesRead;
        this.#left -= bytesRead;
        if (this.#position !== undefined) this.#position += bytesRead;
        this.push(bytesRead === 0 ? null : buffer.subarray(0, bytesRead));
      },
      (error: Error) => this.destroy(error),
    );
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    endFile(this.#file, this.#autoClose, error, callback);
  }
}

class WriteStream extends Writable implements FileWriteStream {
  readonly #file: StreamFile;
  readonly #autoClose: boolean;
  #position: number | undefined;
  bytesWritten = 0;

  constructor(file: StreamFile, options: StreamOptions) {
    super({
      highWaterMark: options.highWaterMark ?? defaultChunk,
      ...(options.encoding ? { defaultEncoding: options.encoding } : {}),
      ...(options.signal ? { signal: options.signal } : {}),
    });
    this.#file = file;
    this.#autoClose = options.autoClose !== false;
    this.#position = options.start;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#writeAll(chunk).then(() => callback(), callback);
  }

  override _writev(chunks: { chunk: unknown }[], callback: (error?: Error | null) => void): void {
    this.#writeAll(Buffer.concat(chunks.map(({ chunk }) => chunk as Buffer))).then(() => callback(), callback);
  }

  async #writeAll(chunk: Uint8Array): Promise<void> {
    for (let done = 0; done < chunk.length; ) {
      const { bytesWritten } = await this.#file.write(chunk, done, chunk.length - done, this.#position ?? null);
      done += bytesWritten;
      this.bytesWritten += bytesWritten;
      if (this.#position !== undefined) this.#position += bytesWritten;
    }
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    endFile(this.#file, this.#autoClose, error, callback);
  }
}

function endFile(file: StreamFile, close: boolean, error: Error | null, callback: (error: Error | null) => void): void {
  if (!close) callback(error);
  else
    file.close().then(
      () => callback(error),
      (failed: Error) => callback(error ?? failed),
    );
}

/** @throws PinfoldError EINVAL, EFBIG */
export function readStream(file: StreamFile, options: StreamOptions | BufferEncoding): FileReadStream {
  return new ReadStream(file, parseOptions(options, file.pageSize));
}

/** @throws PinfoldError EINVAL, EFBIG */
export function writeStream(file: StreamFile, options: StreamOptions | BufferEncoding): FileWriteStream {
  return new WriteStream(file, parseOptions(options, file.pageSize));
}

/** Pages that are handed to the target before the next ones are pinned. */
const sendPages = 16;

/**
 * Sends bytes [position, position + length) to `target` without a copy of ours. The pages are under counted read pins until
 * the target has taken them: at most sendPages of them at a time.
 */
export async function sendTo(
  file: StreamFile,
  target: NodeJS.WritableStream,
  position: number,
  length: number,
  signal?: AbortSignal,
): Promise<void> {
  checkRange(position, length, file.pageSize);
  if (typeof (target as Partial<NodeJS.WritableStream> | null | undefined)?.write !== "function") {
    throw new PinfoldError("EINVAL", "target must be a writable stream");
  }
  if (position + length > file.size) {
    throw new PinfoldError(
      "ERR_PINFOLD_OUT_OF_RANGE",
      `the range ends at ${position + length}; the file has ${file.size} bytes`,
    );
  }
  for (let done = 0; done < length; ) {
    signal?.throwIfAborted();
    const at = position + done;
    const count = Math.min(sendPages * file.pageSize - (at % file.pageSize), length - done);
    const pages = await file.getUserPages(at, count, { longterm: true, ...(signal ? { signal } : {}) });
    try {
      await taken(
        target,
        Array.from(pages, ({ bytes }) => bytes),
        signal,
      );
    } finally {
      pages.put();
    }
    done += count;
  }
}

/** Resolves when the target no longer needs any of the chunks, and rejects no sooner. */
async function taken(
  target: NodeJS.WritableStream,
  chunks: readonly Uint8Array[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const onAbort = () => (target as Partial<Writable>).destroy?.(signal?.reason as Error);
  signal?.addEventListener("abort", onAbort, { once: true });
  const writes = chunks.map(
    (bytes) =>
      new Promise<void>((resolve, reject) =>
        target.write(bytes, (error?: Error | null) => (error ? reject(error) : resolve())),
      ),
  );
  if (signal?.aborted) onAbort();
  const results = await Promise.allSettled(writes);
  signal?.removeEventListener("abort", onAbort);
  signal?.throwIfAborted();
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
