/**
 * Who holds pages: this thread's pins as its registry has them, and what other threads hold as shared memory has it: their
 * ledgers, the owners of exclusive locks, and pins in transit. For pins(), and for the holders that errors name.
 *
 * Of another thread's holds only page, thread and kind are known: not which call took them, and a page lock may belong to an
 * operation in progress instead of a pin. Loads and the locks of write-back are left out: both end by themselves.
 * What is found may have changed when it is told. Work is bounded by the pages of the range, or by the frames of the cache.
 */
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import * as word from "../frames/page-word.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";
import { type PinRecord, describePin } from "./pin-registry.js";

/** Neighbouring pages of one file that another thread holds in the same way. */
export interface ForeignHold {
  readonly mapping: number;
  /** Its slot. */
  readonly thread: number;
  readonly firstIndex: number;
  pages: number;
  readonly write: boolean;
  /** A counted pin; else a page lock. */
  readonly counted: boolean;
  /** A counted pin that was handed over, and that nobody has adopted yet. */
  readonly inTransit: boolean;
}

const namedMax = 3;
const ledgerShares = 0xfff;

/** Pins in transit of other threads, by frame. */
type Transits = Map<number, { readonly thread: number; readonly write: boolean }[]>;

/** What other threads hold of pages [first, last] of a file, or of all files. Ascending by file, thread, kind, page. */
export function foreignHolds(
  core: Core,
  space?: AddressSpace,
  first = 0,
  last: number = limits.filePagesMax - 1,
): ForeignHold[] {
  const holds: ForeignHold[] = [];
  let transits: Transits | undefined;
  for (const frame of space ? framesOf(core, space, first, last) : allFrames(core)) {
    if (!word.isHeld(core.frames.words, frame)) continue;
    const explained = addHolds(core, frame, holds);
    if (explained) continue;
    transits ??= findTransits(core);
    for (const transit of transits.get(frame) ?? [])
      holds.push(holdOf(core, frame, { ...transit, counted: true, inTransit: true }));
  }
  return merge(holds);
}

function framesOf(core: Core, space: AddressSpace, first: number, last: number): number[] {
  return core.table.residents(space, first, last).map(({ frame }) => frame);
}

function* allFrames({ frames }: Core): IterableIterator<number> {
  for (let frame = 0; frame < frames.count; frame++) if (word.isMapped(frames.words, frame)) yield frame;
}

type Kind = Pick<ForeignHold, "thread" | "write" | "counted" | "inTransit">;

function holdOf({ frames }: Core, frame: number, kind: Kind): ForeignHold {
  const { words } = frames;
  return { mapping: words.mappingIdOf(frame), firstIndex: words.indexOf(frame) >>> 0, pages: 1, ...kind };
}

/** Adds what other threads have of a frame. False where the word says more counted pins than all ledgers together: in transit. */
function addHolds(core: Core, frame: number, holds: ForeignHold[]): boolean {
  const { words, thread: own } = core.frames;
  const low = words.lowWord(frame) >>> 0;
  const add = (thread: number, write: boolean, counted: boolean) => {
    if (thread !== own) holds.push(holdOf(core, frame, { thread, write, counted, inTransit: false }));
  };
  const isLoading = (word.flagsOf(words, frame) & word.wordBits.uptodate) === 0;
  if ((low & word.lockBits.exclusive) !== 0 && !isLoading) {
    add((low >>> layout.HOLDERS_SHIFT) & layout.HOLDERS_MASK, true, false);
  }
  let counted = word.countedReads(words, frame) + word.countedWrites(words, frame);
  const writer = writerOf(core, frame);
  for (let thread = 0; thread < layout.THREADS_MAX; thread++) {
    const entry = words.ledgerEntry(frame, thread);
    if (entry === 0) continue;
    const [reads, writes] = [(entry >>> 12) & 0x3ff, entry >>> 22];
    counted -= reads + writes;
    if ((entry & ledgerShares) > (thread === writer ? 1 : 0)) add(thread, false, false);
    if (reads > 0) add(thread, false, true);
    if (writes > 0) add(thread, true, true);
  }
  return counted <= 0;
}

/** The thread whose write-back has a share of the page's lock, or -1. A snapshot's has none: the page stays dirty then. */
function writerOf(core: Core, frame: number): number {
  const flags = word.flagsOf(core.frames.words, frame);
  if ((flags & (word.wordBits.writeback | word.wordBits.dirty)) !== word.wordBits.writeback) return -1;
  return (flags >>> (layout.WRITER_SHIFT - 32)) & layout.WRITER_MASK;
}

/** Those of other threads: this thread's own are in its registry. */
function findTransits(core: Core): Transits {
  const { words, shared, plan, thread: own } = core.frames;
  const found: Transits = new Map();
  for (let entry = 0; entry < layout.TRANSITS_MAX; entry++) {
    const transfer = shared.load(plan.transits + entry * layout.TRANSIT_BYTES + 4) - 1;
    if (transfer < 0) continue;
    const page = words.transitOf(entry, transfer) >>> 0;
    const thread = ownerOfTransfer(words.transferState(transfer));
    if (page === 0 || thread === own) continue;
    const frame = (page & 0x7fffffff) - 1;
    const those = found.get(frame) ?? [];
    found.set(frame, those);
    those.push({ thread, write: page >>> layout.TRANSIT_WRITE_BIT !== 0 });
  }
  return found;
}

/** The thread slot in a transfer's state word. */
export function ownerOfTransfer(state: number): number {
  return (state >>> layout.TRANSFER_THREAD_SHIFT) & (layout.THREADS_MAX - 1);
}

const kindOf = (hold: ForeignHold) => (hold.inTransit ? 4 : 0) + (hold.counted ? 2 : 0) + (hold.write ? 1 : 0);

function merge(holds: ForeignHold[]): ForeignHold[] {
  holds.sort(
    (a, b) => a.mapping - b.mapping || a.thread - b.thread || kindOf(a) - kindOf(b) || a.firstIndex - b.firstIndex,
  );
  const merged: ForeignHold[] = [];
  for (const hold of holds) {
    const before = merged.at(-1);
    const isSame = before?.mapping === hold.mapping && before.thread === hold.thread && kindOf(before) === kindOf(hold);
    if (isSame && hold.firstIndex <= before.firstIndex + before.pages)
      before.pages = Math.max(before.pages, hold.firstIndex + 1 - before.firstIndex);
    else merged.push(hold);
  }
  return merged;
}

/** The name of a file, whether this thread has it open or not. */
export function nameOfFile({ directory }: Core, mapping: number): string {
  return directory.stateOf(mapping) === layout.MAPPING_FREE ? `file ${mapping}` : directory.factsOf(mapping).name;
}

function describeForeign(core: Core, hold: ForeignHold): string {
  const { pageSize } = core.frames;
  const mode = hold.write ? "write" : "read";
  const from = hold.firstIndex * pageSize;
  const where = `${nameOfFile(core, hold.mapping)} [${from}, ${from + hold.pages * pageSize})`;
  if (hold.inTransit) return `counted ${mode} pin in transit from thread ${hold.thread} of ${where}`;
  return `thread ${hold.thread}: ${hold.counted ? `counted ${mode} pin` : `${mode} lock`} of ${where}`;
}

/** Holders for a message: at most three, then how many more. */
export function describeHolds(core: Core, own: readonly PinRecord[], foreign: readonly ForeignHold[] = []): string {
  const count = own.length + foreign.length;
  if (count === 0) return "nobody that pins() knows (raw pins, or an operation in progress)";
  const nowMs = core.clock.nowMs();
  const shown = own.slice(0, namedMax).map((pin) => describePin(pin, nowMs));
  for (const hold of foreign.slice(0, namedMax - shown.length)) shown.push(describeForeign(core, hold));
  return shown.join("; ") + (count > shown.length ? `; and ${count - shown.length} more` : "");
}

/** Who holds pages [first, last] of a file, or any page of the cache. */
export function describeHolders(
  core: Core,
  space?: AddressSpace,
  first = 0,
  last: number = limits.filePagesMax - 1,
): string {
  const own = space ? core.pins.holders(space, first, last) : [...core.pins];
  return describeHolds(core, own, foreignHolds(core, space, first, last));
}

/**
 * Page locks that other threads have held on pages [first, last] for limits.operationMs: whoever asks for pins means those, and
 * operations in progress are over by then. Answers at once where there is none.
 * @throws the signal's reason
 */
export async function lastingLocks(
  core: Core,
  space: AddressSpace,
  { first, last }: { readonly first: number; readonly last: number },
  signal: AbortSignal | undefined,
): Promise<ForeignHold[]> {
  const look = () => foreignHolds(core, space, first, last).filter((hold) => !hold.counted);
  let lasting = look();
  for (let looks = 0; lasting.length > 0 && looks < looksMax; looks++) {
    await sleep(core, limits.operationMs / looksMax, signal);
    const now = look();
    lasting = lasting.filter((hold) => now.some((other) => isSameHold(hold, other)));
  }
  return lasting;
}

const looksMax = 10;

/** The same thread holds one of these pages in the same way. */
function isSameHold(a: ForeignHold, b: ForeignHold): boolean {
  return (
    a.thread === b.thread &&
    a.write === b.write &&
    a.firstIndex < b.firstIndex + b.pages &&
    b.firstIndex < a.firstIndex + a.pages
  );
}

async function sleep(core: Core, delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve) => {
    core.clock.after(delayMs, resolve, true);
  });
  signal?.throwIfAborted();
}
