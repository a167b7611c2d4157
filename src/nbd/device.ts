/**
 * What the server asks of a disk. The server knows nothing of caches, files or stores; an adapter gives it this.
 *
 * Invariants that the server keeps: ranges are inside [0, sizeBytes), never empty; writing calls never reach a read-only
 * device; `target` and `source` belong to the device only until the call returns (try...) or its promise settles; a
 * source is private and complete (no peer can change or withhold its bytes). Reads and writes are cut at multiples of
 * limits.nbdPieceBytes, so none is longer; trim, cache, and writeZeroes that may punch come whole, up to 4 GiB.
 *
 * Invariants that the device keeps: a call that returned true or resolved has happened for all later calls, from any
 * connection (the server tells clients that they may use several). Bytes of overlapping calls in flight at the same time
 * may come in either order. Errors are PinfoldError, anything else counts as EIO (reply-code.ts).
 *
 * See also: commands.ts (the only caller of the promises), transmission.ts (the only caller of try...).
 */

export interface NbdDevice {
  /** Asked for each request: a device may grow. */
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  /** Shown by nbdinfo and the like. */
  readonly description?: string;

  /** Copies into `target` now and returns true, or false if it would have to wait (the bytes of target are then undefined). */
  tryRead(target: Uint8Array, position: number): boolean;
  read(target: Uint8Array, position: number, signal: AbortSignal): Promise<void>;

  /** Takes all of `source` now and returns true, or nothing of it and returns false. */
  tryWrite(source: Uint8Array, position: number): boolean;
  write(source: Uint8Array, position: number, signal: AbortSignal): Promise<void>;

  /** Resolves when all that was completed before the call is durable. */
  flush(): Promise<void>;
  /** The same for a range: a write with FUA. */
  flushRange(position: number, length: number): Promise<void>;

  /** The bytes are no longer needed: they read as zeros or as before, as the device likes. */
  trim(position: number, length: number, signal: AbortSignal): Promise<void>;
  /**
   * Makes the range read as zeros. `mayPunch`: the space may be given back; without it the range comes in pieces of
   * limits.nbdPieceBytes. `fast`: throws ENOTSUP at once unless this is quicker than writing zeros.
   */
  writeZeroes(
    position: number,
    length: number,
    options: { readonly mayPunch: boolean; readonly fast: boolean },
    signal: AbortSignal,
  ): Promise<void>;
  /** A hint that the range will be read soon; resolves when as much of it as makes sense is there. */
  cache(position: number, length: number, signal: AbortSignal): Promise<void>;
}
