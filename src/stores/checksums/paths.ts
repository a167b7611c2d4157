/**
 * The checksums of a path: in `PATH.sums` beside it, or where the caller says. They are used wherever they are there, so that nobody changes
 * the data without them by accident.
 *
 * Invariant: what fails closes what it opened, and removes what it made.
 */
import { existsSync } from "node:fs";
import { stat, unlink } from "node:fs/promises";
import { resolve } from "node:path";
import { PinfoldError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import type { Store } from "../../store/contract.js";
import { ChecksumStore } from "./checksum-store.js";
import { runLater } from "./steps.js";
import { readHeader } from "./sums.js";

/** What the opener of plain paths takes, of which this adds some. */
interface PlainOptions {
  create?: boolean;
  readOnly?: boolean;
  lock?: boolean;
}

interface PlainPaths<Options extends PlainOptions> {
  open(path: string, options: Options, cells?: Int32Array): Promise<Store>;
}

export interface ChecksumPathOptions {
  /** True: in `PATH.sums`; a path: there; false: none. Left out: true where `PATH.sums` exists. */
  checksums?: boolean | string;
}

/** Where the checksums of a path are, or are to be; undefined: none. @throws PinfoldError EINVAL */
export function sumsPathOf(path: string, wanted: boolean | string | undefined, readOnly: boolean): string | undefined {
  if (typeof wanted === "string") {
    if (resolve(wanted) !== resolve(path)) return wanted;
    throw new PinfoldError("EINVAL", `open '${path}': its checksums need a file of their own`, { operation: "open" });
  }
  const beside = `${path}.sums`;
  if (wanted !== false) return wanted === true || existsSync(beside) ? beside : undefined;
  if (!readOnly && existsSync(beside))
    throw new PinfoldError(
      "EINVAL",
      `open '${path}': ${beside} has its checksums, which would be wrong after a change without them: remove it first`,
      { operation: "open" },
    );
  return undefined;
}

/**
 * Opens a path with its checksums, where it has some or gets some.
 * @throws PinfoldError as FileStore.open; ERR_PINFOLD_CHECKSUM, ENOTSUP as ChecksumStore.open; EINVAL for a device without a path for them
 */
export async function openWithSums<Options extends PlainOptions>(
  paths: PlainPaths<Options>,
  path: string,
  { checksums, ...rest }: Options & ChecksumPathOptions,
  cells?: Int32Array,
): Promise<Store> {
  const options = rest as unknown as Options;
  const readOnly = options.readOnly ?? false;
  const sumsPath = sumsPathOf(path, checksums, readOnly);
  if (sumsPath === undefined) return paths.open(path, options, cells);
  const before = await stat(path).catch(() => undefined);
  if (before?.isBlockDevice() && typeof checksums !== "string")
    throw new PinfoldError("EINVAL", `open '${path}': say where the checksums of a device are to be`, {
      operation: "open",
    });
  const data = await paths.open(path, options, cells);
  const mayBeNew = !readOnly && (before === undefined || (before.isFile() && before.size === 0));
  const hadSums = existsSync(sumsPath);
  let sums: Store | undefined;
  try {
    const how = { create: mayBeNew, readOnly, lock: options.lock } as Options;
    sums = await paths.open(sumsPath, how).catch((error: unknown) => {
      throw isMissing(error) ? noSums(path, sumsPath) : error;
    });
    // An empty file with whole sums was emptied by somebody else, perhaps: what they say is not forgotten.
    const fresh = mayBeNew && (before === undefined || !(await runLater(readHeader(sums))));
    const store = await ChecksumStore.open(data, sums, { fresh });
    warnOfTorn(store);
    return store;
  } catch (error) {
    await sums?.close().catch(() => {});
    await data.close().catch(() => {});
    if (sums && !hadSums) await unlink(sumsPath).catch(() => {});
    if (before === undefined) await unlink(path).catch(() => {});
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return (error as { code?: unknown }).code === "ENOENT";
}

function noSums(path: string, sumsPath: string): PinfoldError {
  return new PinfoldError(
    "ERR_PINFOLD_CHECKSUM",
    `open '${path}': there are no checksums in ${sumsPath}; make them with pinfold verify --rebuild`,
    { operation: "open" },
  );
}

/** Said once at the open: later a read of them is an error. */
function warnOfTorn({ name, tornBlocks }: ChecksumStore): void {
  if (tornBlocks.length === 0) return;
  const more = tornBlocks.length < limits.errorRangesMax ? "" : " or more";
  process.emitWarning(
    `'${name}': ${tornBlocks.length}${more} blocks were torn when the power or a process ended, the first at byte ${(tornBlocks[0] as number) * limits.blockSize}; see pinfold verify`,
    { code: "PINFOLD_TORN_BLOCKS" },
  );
}
