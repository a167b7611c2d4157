/**
 * sync: what completed puts and writes left is durable when it resolves, or it says what is not.
 *
 * Rule 8. Steps: what is dirty in the range is tagged; runs that are on their way are waited for; tagged pages are written, at
 * once where their lock is free, else waiting for it; then the store's sync, shared with others. Nothing is given up after
 * the first failure: the rest is written, and the error names all ranges that are not durable.
 */
import { PinfoldError, toPinfoldError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import { flagsOf, wordBits } from "../frames/page-word.js";
import type { Scope } from "../frames/scopes.js";
import type { DirtyPage, IndexRange } from "../writeback/dirty-set.js";
import { collectDeparted, collectDirty, tagForSync, tryWalking, walking } from "../writeback/dirty-set.js";
import type { WriteFailure } from "../writeback/writer.js";
import { unlessAborted } from "./abort.js";
import type { Core } from "./core.js";
import { finishTruncate } from "./extend.js";
import { describeHolds, lastingLocks } from "./holders.js";

export interface SyncOptions {
  readonly position?: number | undefined;
  readonly length?: number | undefined;
  readonly pinned?: "wait" | "fail" | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly scope?: Scope | undefined;
  /** Data and what is needed to read it back, no more (fdatasync). */
  readonly data?: boolean | undefined;
}

/**
 * @throws PinfoldError EDEADLK under the scope's own write pin; ERR_PINFOLD_PINNED with `pinned: "fail"`; EIO, ENOSPC and what
 * the store says; ERR_PINFOLD_DATA_LOST; the signal's reason
 */
export async function sync(core: Core, space: AddressSpace, options: SyncOptions): Promise<void> {
  if (space.isRemote) {
    const range = rangeOf(space, options);
    refuseOwnPins(core, space, range, options.scope);
    const { position, length, pinned, data, signal } = options;
    try {
      await core.calls.ask(space, { op: "sync", position, length, pinned, data }, signal);
    } catch (error) {
      throw toldOf(core, space, range, error);
    }
    return;
  }
  for (let tries = 1; ; tries++) {
    const failedBefore = space.syncErrors;
    const failures = await writeBack(core, space, options);
    const storeError = await storeSync(core, space, options);
    const error = errorOf(space, failures, storeError);
    if (error) throw error;
    // Guard of F14: a store sync of somebody else that failed meanwhile has made dirty again what this one covers.
    if (space.syncErrors === failedBefore) {
      // The storage works: background write-back has nothing to wait for.
      space.noteTaken();
      return;
    }
    if (tries >= limits.transientRetriesMax) throw keepsFailing(space);
  }
}

/** What a sync throws, if it does; the file's storage is known to fail then. */
export function errorOf(
  space: AddressSpace,
  failures: readonly WriteFailure[],
  storeError: unknown,
): PinfoldError | undefined {
  if (failures.length === 0 && !storeError) return undefined;
  const error =
    failures.length > 0
      ? notDurable(space, failures, storeError)
      : toPinfoldError(storeError, `sync of ${space.store.name}`);
  space.noteFailing(error);
  return error;
}

/**
 * What the sync of an opener in another thread than the store's throws. From there comes a code, no more; which pages have failed stands in
 * shared memory.
 */
export function toldOf(core: Core, space: AddressSpace, range: IndexRange, error: unknown): unknown {
  // Others are this thread's own, and say what they mean.
  if (!(error instanceof PinfoldError) || error.code !== space.failingWith) return error;
  const { words } = core.frames;
  const isFailed = (frame: number, index: number) =>
    index >= range.first && index <= range.last && (flagsOf(words, frame) & wordBits.failed) !== 0;
  const pages = tryWalking(core.locks, space, () => collectDirty(core.frames, space, isFailed)) ?? [];
  const cause = new PinfoldError(error.code, `sync of ${space.store.name}, in the thread that has it`);
  if (pages.length === 0) return cause;
  return notDurable(
    space,
    pages.map(({ index }) => ({ index, error: cause })),
    undefined,
  );
}

/** What a sync says that cannot tell what it covers, since others' writes and syncs of the same pages go wrong meanwhile. */
export function keepsFailing(space: AddressSpace): PinfoldError {
  return space.lastError ?? new PinfoldError("EIO", `sync of ${space.store.name} keeps failing`);
}

/**
 * Write-through: what completed puts and writes left in the range has been taken by the store when it resolves.
 * @throws PinfoldError as sync
 */
export async function writeThrough(core: Core, space: AddressSpace, position: number, length: number): Promise<void> {
  if (space.isRemote) return core.calls.ask(space, { op: "writeThrough", position, length });
  const failures = await writeBack(core, space, { position, length });
  const error = errorOf(space, failures, undefined);
  if (error) throw error;
}

/** Write-through of a put: the write of its pages starts, and nobody waits for its end. */
export function startWriteThrough(core: Core, space: AddressSpace, first: number, frames: readonly number[]): void {
  if (!space.isRemote) {
    void core.writer.writeNow(
      space,
      frames.map((frame, at) => ({ frame, index: first + at })),
    );
    return;
  }
  const length = frames.length * space.pageSize;
  core.calls.tell(space, { op: "writeThrough", position: first * space.pageSize, length });
}

/** The first half of a sync: all that it covers is written. What failed. */
async function writeBack(core: Core, space: AddressSpace, options: SyncOptions): Promise<WriteFailure[]> {
  const range = rangeOf(space, options);
  refuseOwnPins(core, space, range, options.scope);
  options.signal?.throwIfAborted();
  // At this moment all that the sync covers is dirty, on its way to the store (and dirty again if that fails), or unstable.
  const pages = await coveredPages(core, space, range);
  const { failures, blocked } = await unlessAborted(core.writer.writeNow(space, pages), options.signal);
  if (blocked.length > 0 && options.pinned === "fail") await refusePinned(core, space, blocked, options.signal);
  for (const page of blocked) {
    failures.push(...(await core.writer.writeWaiting(space, page, { signal: options.signal, scope: options.scope })));
  }
  return failures;
}

/**
 * Dirty pages first, then those on their way: a page goes from one list to the other, and back only where its write failed, which
 * is counted in the step that moves it (endWriteback). Then they are gone through again.
 * @throws PinfoldError EIO where writes fail all the time
 */
async function coveredPages(core: Core, space: AddressSpace, range: IndexRange): Promise<readonly DirtyPage[]> {
  for (let tries = 1; ; tries++) {
    const failedBefore = space.writeErrors;
    const dirty = await walking(core.locks, space, () => tagForSync(core.frames, space, range));
    const departed = await walking(core.locks, space, () => collectDeparted(core.frames, space, range));
    const pages = union(dirty, departed);
    if (space.writeErrors === failedBefore) return pages;
    if (tries >= limits.transientRetriesMax) throw keepsFailing(space);
  }
}

/** Pages of both lists, once each, ascending. */
export function union(first: readonly DirtyPage[], second: readonly DirtyPage[]): readonly DirtyPage[] {
  if (second.length === 0) return first;
  const indexOf = new Map(first.map(({ frame, index }) => [frame, index]));
  const more = second.filter(({ frame, index }) => indexOf.get(frame) !== index);
  return [...first, ...more].sort((a, b) => a.index - b.index);
}

export function rangeOf(space: AddressSpace, { position = 0, length }: SyncOptions): IndexRange {
  if (length === 0) return { first: 1, last: 0 };
  return {
    first: space.pageOf(position),
    last: length === undefined ? limits.filePagesMax - 1 : space.pageOf(position + length - 1),
  };
}

function refuseOwnPins(core: Core, space: AddressSpace, range: IndexRange, scope: Scope | undefined): void {
  for (const [frame, hold] of scope?.held ?? []) {
    const index = core.frames.words.indexOf(frame) >>> 0;
    if (
      hold.exclusive &&
      core.frames.words.mappingIdOf(frame) === space.id &&
      index >= range.first &&
      index <= range.last
    ) {
      throw new PinfoldError(
        "EDEADLK",
        `sync of ${space.store.name} would wait for the caller's own write pin of page ${index}`,
      );
    }
  }
}

/** Names the pins that keep blocked pages from being written; pages that an operation in progress holds are waited for. */
async function refusePinned(
  core: Core,
  space: AddressSpace,
  blocked: readonly DirtyPage[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const indexes = blocked.map(({ index }) => index);
  const pins = indexes
    .flatMap((index) => core.pins.holders(space, index, index))
    .filter((pin) => pin.write && !pin.counted);
  const first = indexes.reduce((least, index) => Math.min(least, index), limits.filePagesMax);
  const last = indexes.reduce((most, index) => Math.max(most, index), 0);
  const locks = pins.length > 0 ? [] : await lastingLocks(core, space, { first, last }, signal);
  const foreign = locks.filter(
    ({ write, firstIndex, pages }) =>
      write && indexes.some((index) => index >= firstIndex && index < firstIndex + pages),
  );
  if (pins.length + foreign.length === 0) return;
  const holders = describeHolds(core, [...new Set(pins)], foreign);
  throw new PinfoldError("ERR_PINFOLD_PINNED", `${space.store.name} has dirty pages under write pins: ${holders}`);
}

async function storeSync(core: Core, space: AddressSpace, options: SyncOptions): Promise<unknown> {
  try {
    await finishTruncate(core, space);
    await unlessAborted(core.storeSync.request(space, options.data === true), options.signal);
    return undefined;
  } catch (error) {
    if (options.signal?.aborted) throw error;
    return error;
  }
}

/** One error for all that failed: the code of the first, ranges of all (the first limits.errorRangesMax). */
function notDurable(space: AddressSpace, failures: readonly WriteFailure[], storeError: unknown): PinfoldError {
  const sorted = [...failures].sort((a, b) => a.index - b.index);
  const ranges: { from: number; to: number }[] = [];
  for (const { index } of sorted) {
    const last = ranges.at(-1);
    if (last && last.to >= index * space.pageSize) last.to = (index + 1) * space.pageSize;
    else ranges.push({ from: index * space.pageSize, to: (index + 1) * space.pageSize });
  }
  const shown = ranges.slice(0, limits.errorRangesMax).map(({ from, to }) => `[${from}, ${to})`);
  const more = ranges.length > shown.length ? ` and ${ranges.length - shown.length} more ranges` : "";
  const causes = [...new Set(failures.map(({ error }) => error))];
  if (storeError) causes.push(storeError as PinfoldError);
  const cause = causes.length === 1 ? causes[0] : new AggregateError(causes, "several errors");
  const first = sorted[0] as WriteFailure;
  const message = `${space.store.name}: not durable: ${shown.join(", ")}${more}: ${first.error.message}`;
  return new PinfoldError(first.error.code, message, { cause, operation: "sync" });
}
