/**
 * Streams over a cached file, and sending a range to a socket from the cache's own bytes.
 */
import { Readable, Writable } from "node:stream";
import { PinfoldError } from "../base/errors.js";
import { checkRange } from "../base/ranges.js";

export interface StreamOptions {
  /** First byte. Default 0. */
  start?: number;
  /** Last byte, inclusive, as in node:fs (read streams). */
  end?: number;
  highWaterMark?: number;
  encoding?: BufferEncoding;
  /** Close the file when the stream ends. Default true, as on FileHandle. */
  autoClose?: boolean;
  signal?: AbortSignal;
}

export type FileReadStream = Readable;
export type FileWriteStream = Writable;

/** What streams need of a file. */
interface StreamFile {
  readonly pageSize: number;
  read(buffer: Buffer, offset: number, length: number, position: number): Promise<{ bytesRead: number }>;
  write(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }>;
  getUserPages(position: number, length: number, options: { longterm: true; signal?: AbortSignal }): Promise<Iterable<{ bytes: Uint8Array }> & { put(): void }>;
  close(): Promise<void>;
}

const defaultChunk = 65_536;

/** @throws PinfoldError EINVAL */
export function readStream(file: StreamFile, options: StreamOptions): FileReadStream {
  const start = options.start ?? 0;
  const end = options.end ?? Number.POSITIVE_INFINITY;
  checkRange(start, 0, file.pageSize);
  if (end !== Number.POSITIVE_INFINITY) checkRange(end, 0, file.pageSize);
  if (end < start - 1) throw new PinfoldError("EINVAL", `end (${end}) lies before start (${start})`);
  let position = start;
  return new Readable({
    highWaterMark: options.highWaterMark ?? defaultChunk,
    ...(options.encoding ? { encoding: options.encoding } : {}),
    ...(options.signal ? { signal: options.signal } : {}),
    read(size) {
      const length = Math.min(size, end - position + 1);
      if (length <= 0) {
        this.push(null);
        return;
      }
      const buffer = Buffer.allocUnsafe(length);
      file.read(buffer, 0, length, position).then(
        ({ bytesRead }) => {
          position += bytesRead;
          this.push(bytesRead === 0 ? null : buffer.subarray(0, bytesRead));
        },
        (error: Error) => this.destroy(error),
      );
    },
    destroy: closing(file, options),
  });
}

/** @throws PinfoldError EINVAL */
export function writeStream(file: StreamFile, options: StreamOptions): FileWriteStream {
  let position = options.start ?? 0;
  checkRange(position, 0, file.pageSize);
  const writeAll = async (chunk: Uint8Array) => {
    for (let done = 0; done < chunk.length; ) {
      const { bytesWritten } = await file.write(chunk, done, chunk.length - done, position);
      done += bytesWritten;
      position += bytesWritten;
    }
  };
  return new Writable({
    highWaterMark: options.highWaterMark ?? defaultChunk,
    ...(options.signal ? { signal: options.signal } : {}),
    write(chunk: Buffer, _encoding, callback) {
      writeAll(chunk).then(() => callback(), callback);
    },
    writev(chunks, callback) {
      writeAll(Buffer.concat(chunks.map(({ chunk }) => chunk as Buffer))).then(() => callback(), callback);
    },
    destroy: closing(file, options),
  });
}

function closing(file: StreamFile, options: StreamOptions): (error: Error | null, callback: (error: Error | null) => void) => void {
  return (error, callback) => {
    if (options.autoClose === false) callback(error);
    else file.close().then(() => callback(error), (failed: Error) => callback(error ?? failed));
  };
}

/** Page runs that are written to the target before the next ones are pinned. */
const sendPages = 16;

/**
 * Sends bytes [position, position + length) to `target` without a copy of ours. The pages are under counted read pins until
 * the target has taken them; a target that never drains holds at most sendPages of them, and `signal` lets go of these.
 */
export async function sendTo(file: StreamFile, target: NodeJS.WritableStream, position: number, length: number, signal?: AbortSignal): Promise<void> {
  checkRange(position, length, file.pageSize);
  for (let done = 0; done < length; ) {
    const at = position + done;
    const most = sendPages * file.pageSize - (at % file.pageSize);
    const count = Math.min(most, length - done);
    const pages = await file.getUserPages(at, count, { longterm: true, ...(signal ? { signal } : {}) });
    try {
      for (const { bytes } of pages) await taken(target, bytes, signal);
    } finally {
      pages.put();
    }
    done += count;
  }
}

/** Resolves when the target no longer needs the bytes. */
function taken(target: NodeJS.WritableStream, bytes: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal?.reason as Error);
    signal?.addEventListener("abort", onAbort, { once: true });
    target.write(bytes, (error?: Error | null) => {
      signal?.removeEventListener("abort", onAbort);
      if (error) reject(error);
      else resolve();
    });
  });
}
