/**
 * The mapped views of one opener of a file. They share one translation table, made for the first of them; the opener's close
 * empties it, and every later access is told that the file was closed.
 *
 * See also: mapped-view.ts, mapping/view-tlb.ts.
 */
import { checkRange, checkWhole } from "../base/ranges.js";
import type { AddressSpace } from "../cache/space.js";
import type { Core } from "../mapping/core.js";
import { outOfRange } from "../mapping/fault.js";
import { checkSyncCalls } from "../mapping/fault-blocking.js";
import { ViewTlb } from "../mapping/view-tlb.js";
import { MappedView, type ViewedFile } from "./mapped-view.js";

export class FileViews {
  readonly #core: Core;
  readonly #space: AddressSpace;
  readonly #file: ViewedFile;
  readonly #check: () => void;
  #tlb: ViewTlb | undefined;

  /** `check` throws once the opener was closed. */
  constructor(core: Core, space: AddressSpace, file: ViewedFile, check: () => void) {
    this.#core = core;
    this.#space = space;
    this.#file = file;
    this.#check = check;
  }

  /** @throws PinfoldError EINVAL, EFBIG, ERR_PINFOLD_OUT_OF_RANGE, ENOTSUP */
  map(position: number, length: number | undefined): MappedView {
    checkWhole(position, "position");
    const bytes = length ?? Math.max(0, this.#space.size - position);
    checkRange(position, bytes, this.#space.pageSize);
    checkSyncCalls(this.#space);
    if (position + bytes > this.#space.size) throw outOfRange(this.#space, position + bytes);
    this.#tlb ??= new ViewTlb(this.#core, this.#space, this.#check);
    return new MappedView(this.#file, this.#tlb, position, bytes);
  }

  /** The opener is closing. */
  end(): void {
    this.#tlb?.clear();
  }
}
