/**
 * Opening, making and rebuilding the sums of a file.
 *
 * Invariant: there is a header only once all before it is durable: a file of sums whose making was cut short has none.
 */
import { PinfoldError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import { newNumber } from "../../base/random.js";
import type { Store } from "../../store/contract.js";
import { encodeHeader, type Header, headerBytes, pageSums, placesOf } from "./format.js";
import { readLog } from "./log.js";
import { readStep, reserveStep, sizeStep, syncStep, writeStep } from "./store-steps.js";
import type { Step, Steps } from "./steps.js";
import { sumsOf, zeroSum } from "./sum.js";
import { readHeader, Sums } from "./sums.js";

/** How much there is of the log and of the table in memory. */
export interface SumsOptions {
  /** Pages of 4 KiB in each of the log's two areas, from 4; for new sums. Default 256. */
  readonly logPages?: number;
  /** Pages of 4 KiB of the table in memory, from 2. Default 1,024. */
  readonly tablePages?: number;
}

/** @throws PinfoldError ERR_PINFOLD_CHECKSUM; what the stores say */
export function* openSums(data: Store, store: Store, { tablePages }: SumsOptions = {}): Steps<Sums> {
  const header = yield* readHeader(store);
  if (!header) {
    const state = store.sizeBytes === 0 ? "has no checksums" : "has checksums that are not whole";
    throw new PinfoldError("ERR_PINFOLD_CHECKSUM", `${data.name} ${state}; make them with pinfold verify --rebuild`, {
      operation: "open",
    });
  }
  const sums = new Sums(data, store, header, { tablePages });
  yield* sums.recover(yield* readLog(store, header), !data.capabilities.readOnly);
  return sums;
}

/** Sums of data that is all zeros. */
export function* createSums(data: Store, store: Store, options: SumsOptions = {}): Steps<Sums> {
  return yield* makeSums(data, store, 0, () => {}, options);
}

/** Sums of data as it is: what is wrong with it is right from now on. `progress` is called with bytes done. */
export function* rebuildSums(data: Store, store: Store, progress: (bytes: number) => void): Steps<Sums> {
  return yield* makeSums(data, store, data.sizeBytes, progress);
}

function* makeSums(
  data: Store,
  store: Store,
  bytes: number,
  progress: (bytes: number) => void,
  { logPages = limits.checksumLogPages, tablePages }: SumsOptions = {},
): Steps<Sums> {
  const header: Header = { fileNumber: newNumber(), logFrom: 1, writes: 0, areaPages: logPages };
  yield* clear(store, placesOf(header).table);
  // What the store says of its size is of before it was cut.
  const sums = new Sums(data, store, header, { tablePages, storeBytes: placesOf(header).table });
  const stepBytes = pageSums * limits.blockSize;
  for (let position = 0; position < bytes; position += stepBytes) {
    const buffer = new Uint8Array(
      Math.min(stepBytes, Math.ceil((bytes - position) / limits.blockSize) * limits.blockSize),
    );
    yield readStep(data, position, [buffer]);
    const first = position / limits.blockSize;
    const found = sumsOf([buffer], first, sums.fileNumber);
    yield* sums.table.change(first / pageSums, (page) => {
      for (const [at, sum] of found.entries()) page.set(at, sum === zeroSum(first + at, sums.fileNumber) ? 0 : sum);
    });
    progress(Math.min(bytes, position + stepBytes));
  }
  yield syncStep(store, false);
  yield writeStep(store, 0, [encodeHeader(header), encodeHeader(header)]);
  yield syncStep(store, true);
  return sums;
}

/** Takes the header away first; then space for all but the table, with zeros in it, so that a batch of the log changes no metadata. */
function* clear(store: Store, bytes: number): Steps<void> {
  if (store.sizeBytes > 0) {
    yield* zeros(store, Math.min(store.sizeBytes, headerBytes));
    yield syncStep(store, false);
    yield cutStep(store);
  }
  yield sizeStep(store, bytes);
  yield* zeros(store, bytes);
}

function* zeros(store: Store, bytes: number): Steps<void> {
  yield reserveStep(store, 0, bytes);
  for (let position = 0; position < bytes; position += limits.runBytesMax)
    yield writeStep(store, position, [new Uint8Array(Math.min(limits.runBytesMax, bytes - position))]);
}

function cutStep(store: Store): Step {
  return {
    later: () => store.truncate(0),
    now: () => {
      throw new PinfoldError("ENOTSUP", "checksums are made by calls that wait");
    },
  };
}
