/**
 * What a file may hold after its user died: for each sector the operations that may show, from what victims reported.
 *
 * A sector has one writer at a time, so that its operations have an order. One that ended before a sync began is durable once that
 * sync ended. After a crash a sector is the newest durable operation's, or of one that began later; without a durable one it may
 * be as it was when the ledger last looked. A sync that ended counts for the sectors that it was asked for.
 *
 * Invariant: what a check finds is the new beginning, byte for byte, also where it was wrong; so each fault is told once.
 *
 * See also: reports.ts (what victims say), victim.ts, sector-words.ts.
 */
import { flavours, type Report, reports } from "./reports.js";
import { operationsOf, sectorBytes } from "./sector-words.js";

interface Operation {
  readonly flavour: number;
  readonly first: number;
  readonly count: number;
  readonly changesSize: boolean;
}

interface SizeRange {
  readonly number: number;
  readonly min: number;
  readonly max: number;
}

interface PendingSync {
  readonly first: number;
  readonly ended: Uint32Array;
  readonly sizeEnded: number | undefined;
}

export class SectorLedger {
  readonly sectors: number;
  /** The largest number that any operation had. */
  lastNumber = 0;
  /** Syncs that ended well, and operations that ended, since the ledger was made. */
  syncs = 0;
  operations = 0;
  /** Writes and pins that had no space, ever. */
  withoutSpace = 0;
  /** Since the last check: syncs that failed for lack of space, and others that failed. */
  syncsWithoutSpace = 0;
  syncsFailed = 0;
  #baseline: Buffer;
  readonly #durable: Uint32Array;
  readonly #ended: Uint32Array;
  readonly #begun: number[][];
  readonly #open = new Map<number, Operation>();
  readonly #flavour = new Map<number, number>();
  readonly #syncs = new Map<number, PendingSync>();
  /** What was durable when the power went; undefined while it has not. */
  #atCut: { readonly durable: Uint32Array; readonly sizeDurable: number } | undefined;
  /** At the last check: what is wrong only if syncs count that ended after the cut had begun. */
  late: readonly string[] = [];
  /** All since the last check, oldest first. */
  readonly #told: Report[] = [];
  #sizes: SizeRange[];
  #sizeEnded = 0;
  #sizeDurable = 0;

  constructor(sectors: number, initial: Buffer) {
    this.sectors = sectors;
    this.#baseline = paddedTo(initial, sectors);
    this.#durable = new Uint32Array(sectors);
    this.#ended = new Uint32Array(sectors);
    this.#begun = Array.from({ length: sectors }, () => []);
    this.#sizes = [{ number: 0, min: initial.length / sectorBytes, max: initial.length / sectorBytes }];
  }

  take(report: Report): void {
    const { kind, number } = report;
    this.#told.push(report);
    if ((kind === reports.refused || kind === reports.failed) && report.flavour === 1) this.withoutSpace += 1;
    if (kind === reports.begin) this.#begin(report);
    else if (kind === reports.end) this.#end(number);
    else if (kind === reports.refused) this.#refuse(number);
    else if (kind === reports.failed) void (this.#open.delete(number) || this.#syncs.delete(number));
    else if (kind === reports.syncBegin) this.#beginSync(report);
    else if (kind === reports.syncEnd) this.#endSync(number);
    else if (kind === reports.syncFailed) {
      this.#syncs.delete(number);
      if (report.flavour === 1) this.syncsWithoutSpace += 1;
      else this.syncsFailed += 1;
    }
  }

  #begin({ number, flavour, first, count, sizeMin, sizeMax }: Report): void {
    this.lastNumber = Math.max(this.lastNumber, number);
    for (let sector = first; sector < first + count; sector++) (this.#begun[sector] as number[]).push(number);
    this.#flavour.set(number, flavour);
    if (sizeMax > 0) this.#sizes.push({ number, min: sizeMin, max: sizeMax });
    this.#open.set(number, { flavour, first, count, changesSize: sizeMax > 0 });
  }

  #end(number: number): void {
    const operation = this.#open.get(number);
    if (operation === undefined) throw new Error(`operation ${number} ends and has not begun`);
    this.#open.delete(number);
    this.operations += 1;
    this.#ended.fill(number, operation.first, operation.first + operation.count);
    if (operation.changesSize) this.#sizeEnded = Math.max(this.#sizeEnded, number);
  }

  #refuse(number: number): void {
    const operation = this.#open.get(number);
    if (operation === undefined) throw new Error(`operation ${number} is refused and has not begun`);
    this.#open.delete(number);
    for (let sector = operation.first; sector < operation.first + operation.count; sector++) {
      const begun = this.#begun[sector] as number[];
      begun.splice(begun.lastIndexOf(number), 1);
    }
    this.#sizes = this.#sizes.filter((size) => size.number !== number);
  }

  /**
   * The power goes now. A process that lives on may be told of syncs that were under way just then, which a real power cut would keep
   * to itself; the next check tells apart what is wrong by these alone.
   */
  noteCut(): void {
    this.#atCut = { durable: this.#durable.slice(), sizeDurable: this.#sizeDurable };
  }

  #beginSync({ number, first, count }: Report): void {
    const isWhole = count === 0;
    this.#syncs.set(number, {
      first,
      ended: this.#ended.slice(first, isWhole ? this.sectors : first + count),
      sizeEnded: isWhole ? this.#sizeEnded : undefined,
    });
  }

  #endSync(number: number): void {
    const sync = this.#syncs.get(number);
    if (sync === undefined) throw new Error(`sync ${number} ends and has not begun`);
    this.#syncs.delete(number);
    this.syncs += 1;
    for (const [at, ended] of sync.ended.entries()) {
      const sector = sync.first + at;
      if (ended > (this.#durable[sector] as number)) this.#durable[sector] = ended;
    }
    if (sync.sizeEnded !== undefined) this.#sizeDurable = Math.max(this.#sizeDurable, sync.sizeEnded);
  }

  /** What was told of a sector since the last check: its operations, and the syncs that covered it. */
  historyOf(sector: number): string {
    const names = new Map<number, string>(Object.entries(reports).map(([name, kind]) => [kind, name]));
    const of = new Map<number, string>();
    for (const { kind, number, first, count, way } of this.#told) {
      const isWhole = kind === reports.syncBegin && count === 0;
      const touches = sector >= first && sector < first + count;
      if (isWhole || touches) of.set(number, isWhole ? way : `${way} [${first}, ${first + count})`);
    }
    return this.#told
      .filter(({ number }) => of.has(number))
      .slice(-60)
      .map(({ kind, number }) => `${names.get(kind)} ${number} ${of.get(number)}`)
      .join("\n  ");
  }

  /** What has begun and not ended, as it was told: where a victim stands. */
  get underWay(): string {
    const isOpen = ({ kind, number }: Report): boolean =>
      (kind === reports.begin && this.#open.has(number)) || (kind === reports.syncBegin && this.#syncs.has(number));
    return this.#told
      .filter(isOpen)
      .map(({ number, way, first, count }) => `${number} ${way} [${first}, ${first + count})`)
      .join("; ");
  }

  /** Sectors of which some operation is durable. */
  get durableSectors(): number {
    return this.#durable.reduce((count, number) => count + (number > 0 ? 1 : 0), 0);
  }

  /** Compares a file with what it may hold; what is wrong, in words. What is there is the new beginning. */
  check(file: Buffer): string[] {
    const wrong: string[] = [];
    const late: string[] = [];
    let historiesLeft = 1;
    const bytes = paddedTo(file, this.sectors);
    const { durable, sizeDurable } = this.#atCut ?? { durable: this.#durable, sizeDurable: this.#sizeDurable };
    const size = this.#checkSize(file.length, sizeDurable);
    const lateSize = this.#checkSize(file.length, this.#sizeDurable);
    if (size !== undefined) wrong.push(size);
    else if (lateSize !== undefined) late.push(lateSize);
    for (let sector = 0; sector < this.sectors; sector++) {
      const found = bytes.subarray(sector * sectorBytes, (sector + 1) * sectorBytes);
      const complaint = this.#checkSector(sector, found, durable[sector] as number);
      const lateComplaint = complaint ?? this.#checkSector(sector, found, this.#durable[sector] as number);
      const said =
        lateComplaint !== undefined && historiesLeft-- > 0
          ? `${lateComplaint}\n  ${this.historyOf(sector)}\n`
          : lateComplaint;
      if (said !== undefined) (complaint === undefined ? late : wrong).push(said);
      this.#begun[sector] = [];
    }
    this.#told.length = 0;
    this.#baseline = bytes;
    this.#durable.fill(0);
    this.#ended.fill(0);
    for (const map of [this.#open, this.#flavour, this.#syncs]) map.clear();
    this.#sizes = [{ number: 0, min: file.length / sectorBytes, max: file.length / sectorBytes }];
    this.#sizeEnded = 0;
    this.#sizeDurable = 0;
    this.syncsFailed = 0;
    this.syncsWithoutSpace = 0;
    this.#atCut = undefined;
    this.late = late;
    return wrong;
  }

  #checkSize(sizeBytes: number, durable: number): string | undefined {
    const size = sizeBytes / sectorBytes;
    const allowed = this.#sizes.filter(({ number }) => number >= durable);
    if (allowed.some(({ min, max }) => size >= min && size <= max)) return undefined;
    const text = allowed.map(({ min, max }) => (min === max ? `${min}` : `${min} to ${max}`)).join(", ");
    return `the size is ${size} sectors, not ${text}`;
  }

  #checkSector(sector: number, found: Buffer, durable: number): string | undefined {
    const allowed = (this.#begun[sector] as number[]).filter((number) => number >= durable);
    const before = this.#baseline.subarray(sector * sectorBytes, (sector + 1) * sectorBytes);
    if (durable === 0 && before.equals(found)) return undefined;
    const operations = operationsOf(found, sector);
    const complain = (text: string): string =>
      `sector ${sector}: ${text} (durable ${durable}, begun ${allowed.join(" ") || "none"})`;
    const old = durable === 0 ? operationsOf(before, sector) : new Set<number | undefined>();
    let isLoose = false;
    for (const number of allowed) isLoose ||= this.#flavour.get(number) === flavours.loose;
    for (const operation of operations) {
      if (operation === undefined) return complain("bytes that nobody wrote there");
      if (!old.has(operation) && !this.#mayShow(operation, allowed)) return complain(`is of operation ${operation}`);
    }
    if (operations.size > 1 && !isLoose) return complain(`is torn between operations ${[...operations].join(", ")}`);
    return undefined;
  }

  #mayShow(operation: number, allowed: readonly number[]): boolean {
    if (operation !== 0) return allowed.includes(operation) && this.#flavour.get(operation) !== flavours.zeros;
    return allowed.some((number) => this.#flavour.get(number) === flavours.zeros);
  }
}

function paddedTo(bytes: Buffer, sectors: number): Buffer {
  if (bytes.length > sectors * sectorBytes) throw new Error(`the file has ${bytes.length} bytes: more than it can`);
  const padded = Buffer.alloc(sectors * sectorBytes);
  bytes.copy(padded);
  return padded;
}
