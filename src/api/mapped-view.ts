/**
 * MappedView: a part of a file as memory, with DataView's accessors. Made by CachedFile.map().
 *
 * A load costs a check and the load. The first store to a clean page takes a write fault: the storage is asked, and what it says
 * (ENOSPC) is thrown by that very store; later stores go without, until write-back takes the access away again. Pages are
 * read, kept and evicted as for any other access; a view holds nothing.
 *
 * Invariants: values are converted before the store is opened, so that no code of the caller runs within it. The accessors are
 * written out one by one: made from one closure they would share V8's type feedback, and none would be fast.
 *
 * See also: mapping/view-tlb.ts, docs/access-rules.md (mapped views).
 */
import { PinfoldError } from "../base/errors.js";
import type { ViewTlb } from "../mapping/view-tlb.js";
import { checkBytes } from "./arguments.js";
import type { GetOptions } from "./cached-file.js";
import type { UserPages } from "./user-pages.js";

/** What a view needs of its file. */
export interface ViewedFile {
  readonly name: string;
  getUserPages(position: number, length: number, options?: GetOptions): Promise<UserPages>;
}

/**
 * Addresses are bytes from the beginning of the view. All accessors throw PinfoldError EINVAL for what is no address;
 * ERR_PINFOLD_OUT_OF_RANGE past the end of the view or of the file, as it is now; EBADF once the view was unmapped or its file closed; EIO,
 * ERR_PINFOLD_NO_FRAMES where a page cannot be read; EDEADLK where that waits for this thread's own event loop; and to store EROFS, ENOSPC.
 */
export class MappedView implements Disposable {
  /** Where the view begins in the file, in bytes. */
  declare readonly position: number;
  readonly #file: ViewedFile;
  // As in view-tlb.ts: for V8's sake.
  declare private readonly tlb: ViewTlb;
  /** -1 once it was unmapped. */
  declare private length: number;

  /** Made by CachedFile.map. */
  constructor(file: ViewedFile, tlb: ViewTlb, position: number, length: number) {
    this.#file = file;
    this.tlb = tlb;
    this.position = position;
    this.length = length;
  }

  /** Bytes of the view; 0 once it was unmapped. */
  get byteLength(): number {
    return Math.max(0, this.length);
  }

  /** The position in the file of `width` bytes at an address. */
  #at(address: number, width: number): number {
    if (typeof address === "number" && address >= 0 && address + width <= this.length) return this.position + address;
    throw this.#refusal(address, width);
  }

  /** For a load whose page was taken away meanwhile. */
  #again(): this {
    this.tlb.forget();
    return this;
  }

  #refusal(address: unknown, width: number): PinfoldError {
    if (this.length < 0) return new PinfoldError("EBADF", `the view of ${this.#file.name} was unmapped`);
    if (!Number.isSafeInteger(address))
      return new PinfoldError("EINVAL", `an address must be a whole number, not ${String(address)}`);
    return new PinfoldError(
      "ERR_PINFOLD_OUT_OF_RANGE",
      `${width} bytes at ${String(address)} do not lie in the view of ${this.length} bytes`,
    );
  }

  getInt8(address: number): number {
    const tlb = this.tlb;
    const at = tlb.find(this.#at(address, 1), 1);
    const value = tlb.bytes.getInt8(at);
    return tlb.holds(value) ? value : this.#again().getInt8(address);
  }

  getUint8(address: number): number {
    const tlb = this.tlb;
    const at = tlb.find(this.#at(address, 1), 1);
    const value = tlb.bytes.getUint8(at);
    return tlb.holds(value) ? value : this.#again().getUint8(address);
  }

  getInt16(address: number, littleEndian?: boolean): number {
    const tlb = this.tlb;
    const at = tlb.find(this.#at(address, 2), 2);
    const value = tlb.bytes.getInt16(at, littleEndian);
    return tlb.holds(value) ? value : this.#again().getInt16(address, littleEndian);
  }

  getUint16(address: number, littleEndian?: boolean): number {
    const tlb = this.tlb;
    const at = tlb.find(this.#at(address, 2), 2);
    const value = tlb.bytes.getUint16(at, littleEndian);
    return tlb.holds(value) ? value : this.#again().getUint16(address, littleEndian);
  }

  getInt32(address: number, littleEndian?: boolean): number {
    const tlb = this.tlb;
    const at = tlb.find(this.#at(address, 4), 4);
    const value = tlb.bytes.getInt32(at, littleEndian);
    return tlb.holds(value) ? value : this.#again().getInt32(address, littleEndian);
  }

  getUint32(address: number, littleEndian?: boolean): number {
    const tlb = this.tlb;
    const at = tlb.find(this.#at(address, 4), 4);
    const value = tlb.bytes.getUint32(at, littleEndian);
    return tlb.holds(value) ? value : this.#again().getUint32(address, littleEndian);
  }

  getFloat32(address: number, littleEndian?: boolean): number {
    const tlb = this.tlb;
    const at = tlb.find(this.#at(address, 4), 4);
    const value = tlb.bytes.getFloat32(at, littleEndian);
    return tlb.holds(value) ? value : this.#again().getFloat32(address, littleEndian);
  }

  getFloat64(address: number, littleEndian?: boolean): number {
    const tlb = this.tlb;
    const at = tlb.find(this.#at(address, 8), 8);
    const value = tlb.bytes.getFloat64(at, littleEndian);
    return tlb.holds(value) ? value : this.#again().getFloat64(address, littleEndian);
  }

  getBigInt64(address: number, littleEndian?: boolean): bigint {
    const tlb = this.tlb;
    const at = tlb.find(this.#at(address, 8), 8);
    const value = tlb.bytes.getBigInt64(at, littleEndian);
    return tlb.holdsWide(value) ? value : this.#again().getBigInt64(address, littleEndian);
  }

  getBigUint64(address: number, littleEndian?: boolean): bigint {
    const tlb = this.tlb;
    const at = tlb.find(this.#at(address, 8), 8);
    const value = tlb.bytes.getBigUint64(at, littleEndian);
    return tlb.holdsWide(value) ? value : this.#again().getBigUint64(address, littleEndian);
  }

  setInt8(address: number, value: number): void {
    const tlb = this.tlb;
    const converted = numberOf(value);
    const at = tlb.open(this.#at(address, 1), 1);
    tlb.bytes.setInt8(at, converted);
    tlb.close();
  }

  setUint8(address: number, value: number): void {
    const tlb = this.tlb;
    const converted = numberOf(value);
    const at = tlb.open(this.#at(address, 1), 1);
    tlb.bytes.setUint8(at, converted);
    tlb.close();
  }

  setInt16(address: number, value: number, littleEndian?: boolean): void {
    const tlb = this.tlb;
    const converted = numberOf(value);
    const at = tlb.open(this.#at(address, 2), 2);
    tlb.bytes.setInt16(at, converted, littleEndian);
    tlb.close();
  }

  setUint16(address: number, value: number, littleEndian?: boolean): void {
    const tlb = this.tlb;
    const converted = numberOf(value);
    const at = tlb.open(this.#at(address, 2), 2);
    tlb.bytes.setUint16(at, converted, littleEndian);
    tlb.close();
  }

  setInt32(address: number, value: number, littleEndian?: boolean): void {
    const tlb = this.tlb;
    const converted = numberOf(value);
    const at = tlb.open(this.#at(address, 4), 4);
    tlb.bytes.setInt32(at, converted, littleEndian);
    tlb.close();
  }

  setUint32(address: number, value: number, littleEndian?: boolean): void {
    const tlb = this.tlb;
    const converted = numberOf(value);
    const at = tlb.open(this.#at(address, 4), 4);
    tlb.bytes.setUint32(at, converted, littleEndian);
    tlb.close();
  }

  setFloat32(address: number, value: number, littleEndian?: boolean): void {
    const tlb = this.tlb;
    const converted = numberOf(value);
    const at = tlb.open(this.#at(address, 4), 4);
    tlb.bytes.setFloat32(at, converted, littleEndian);
    tlb.close();
  }

  setFloat64(address: number, value: number, littleEndian?: boolean): void {
    const tlb = this.tlb;
    const converted = numberOf(value);
    const at = tlb.open(this.#at(address, 8), 8);
    tlb.bytes.setFloat64(at, converted, littleEndian);
    tlb.close();
  }

  setBigInt64(address: number, value: bigint, littleEndian?: boolean): void {
    const tlb = this.tlb;
    const converted = BigInt.asIntN(64, value);
    const at = tlb.open(this.#at(address, 8), 8);
    tlb.bytes.setBigInt64(at, converted, littleEndian);
    tlb.close();
  }

  setBigUint64(address: number, value: bigint, littleEndian?: boolean): void {
    const tlb = this.tlb;
    const converted = BigInt.asUintN(64, value);
    const at = tlb.open(this.#at(address, 8), 8);
    tlb.bytes.setBigUint64(at, converted, littleEndian);
    tlb.close();
  }

  /**
   * Copies bytes from `address` on into `target`: `length` of them, or as many as both have. Bytes copied. Others may be changing
   * them meanwhile; pages that were copied before one that cannot be read stay copied.
   */
  copyTo(target: Uint8Array, address = 0, length?: number): number {
    checkBytes(target, "target");
    const position = this.#at(address, length ?? 0);
    const count = length ?? Math.min(target.length, this.length - address);
    if (!Number.isSafeInteger(address) || !Number.isSafeInteger(count) || count < 0 || count > target.length)
      throw new PinfoldError("EINVAL", `${String(length)} bytes from ${address} on do not fit ${target.length} bytes`);
    this.tlb.read(target.subarray(0, count), position);
    return count;
  }

  /**
   * Copies all of `source` into the file, from `address` on. Bytes copied. Not atomic: pages before one that cannot be written are
   * written then.
   */
  copyFrom(source: Uint8Array, address = 0): number {
    checkBytes(source, "source");
    const position = this.#at(address, source.length);
    if (!Number.isSafeInteger(address)) throw this.#refusal(address, source.length);
    this.tlb.write(source, position);
    return source.length;
  }

  /** Pins a range of the view, as CachedFile.getUserPages does. */
  async getUserPages(address: number, length: number, options?: GetOptions): Promise<UserPages> {
    return this.#file.getUserPages(this.#at(address, length), length, options);
  }

  /** Ends the view. The file and its pages stay as they are. */
  unmap(): void {
    this.length = -1;
  }

  [Symbol.dispose](): void {
    this.unmap();
  }
}

/** What DataView makes of a value that is none: an error for a bigint, else a conversion that may run the caller's code. */
function numberOf(value: unknown): number {
  return +(value as string);
}
