/** The ledger itself: a file that lost or made up something is told from one that may be so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { flavours, type Report, reports } from "./reports.js";
import { SectorLedger } from "./sector-ledger.js";
import { sectorBytes, sectorsOf } from "./sector-words.js";

const sectors = 8;

function ledgerOf(...told: (Partial<Report> & { kind: number })[]): SectorLedger {
  const ledger = new SectorLedger(sectors, Buffer.alloc(sectors * sectorBytes));
  for (const report of told)
    ledger.take({
      number: 0,
      flavour: flavours.whole,
      first: 0,
      count: 0,
      sizeMin: 0,
      sizeMax: 0,
      way: "?",
      ...report,
    });
  return ledger;
}

const begin = (number: number, first: number, count: number, more: Partial<Report> = {}) => ({
  kind: reports.begin,
  number,
  first,
  count,
  ...more,
});
const end = (number: number) => ({ kind: reports.end, number });
const sync = (number: number, first = 0, count = 0) => [
  { kind: reports.syncBegin, number, first, count },
  { kind: reports.syncEnd, number },
];

/** A file in which sectors from `first` on are of an operation. */
function fileOf(...writes: [number, number, number][]): Buffer {
  const bytes = Buffer.alloc(sectors * sectorBytes);
  for (const [number, first, count] of writes) sectorsOf(number, first, count).copy(bytes, first * sectorBytes);
  return bytes;
}

test("what a sync covered has to be there; what came later may be", () => {
  const told = [begin(1, 0, 2), end(1), ...sync(2), begin(3, 1, 2)];
  for (const good of [fileOf([1, 0, 2]), fileOf([1, 0, 2], [3, 1, 2]), fileOf([1, 0, 2], [3, 2, 1])])
    assert.deepEqual(ledgerOf(...told).check(good), []);
  assert.match(
    ledgerOf(...told)
      .check(fileOf([1, 0, 1]))
      .join(),
    /sector 1: is of operation 0/,
  );
  assert.match(
    ledgerOf(...told)
      .check(fileOf([3, 1, 2]))
      .join(),
    /^sector 0: is of operation 0/,
  );
});

test("a write that ended after the sync began, or outside of its range, is not held to it", () => {
  const late = [begin(1, 0, 1), { kind: reports.syncBegin, number: 2 }, end(1), { kind: reports.syncEnd, number: 2 }];
  assert.deepEqual(ledgerOf(...late).check(fileOf()), []);
  assert.deepEqual(ledgerOf(begin(1, 0, 2), end(1), ...sync(2, 1, 1)).check(fileOf([1, 1, 1])), []);
  assert.equal(ledgerOf(begin(1, 0, 2), end(1), ...sync(2, 1, 1)).check(fileOf()).length, 1);
  const failed = [
    begin(1, 0, 1),
    end(1),
    { kind: reports.syncBegin, number: 2 },
    { kind: reports.syncFailed, number: 2 },
  ];
  assert.deepEqual(ledgerOf(...failed).check(fileOf()), []);
});

test("older bytes, bytes of elsewhere and bytes that nobody wrote are told", () => {
  const twice = [begin(1, 0, 1), end(1), begin(2, 0, 1), end(2), ...sync(3)];
  assert.match(
    ledgerOf(...twice)
      .check(fileOf([1, 0, 1]))
      .join(),
    /is of operation 1 \(durable 2/,
  );
  const elsewhere = fileOf();
  sectorsOf(1, 0, 1).copy(elsewhere, sectorBytes);
  assert.match(
    ledgerOf(begin(1, 0, 2))
      .check(elsewhere)
      .join(),
    /sector 1: bytes that nobody wrote/,
  );
  assert.match(
    ledgerOf(begin(1, 0, 1), { kind: reports.refused, number: 1 })
      .check(fileOf([1, 0, 1]))
      .join(),
    /operation 1/,
  );
  assert.deepEqual(ledgerOf(begin(1, 0, 1), { kind: reports.failed, number: 1 }).check(fileOf([1, 0, 1])), []);
});

test("a torn sector is a fault unless it was written in place under write-back's eyes", () => {
  const torn = fileOf([1, 0, 1]);
  sectorsOf(2, 0, 1).copy(torn, 64, 64, 128);
  assert.match(
    ledgerOf(begin(1, 0, 1), begin(2, 0, 1))
      .check(torn)
      .join(),
    /torn between operations 1, 2/,
  );
  assert.deepEqual(ledgerOf(begin(1, 0, 1), begin(2, 0, 1, { flavour: flavours.loose })).check(torn), []);
});

test("zeros count where a hole was made, and only there", () => {
  const cut = [begin(1, 0, 2), end(1), ...sync(2), begin(3, 1, 1, { flavour: flavours.zeros })];
  assert.deepEqual(ledgerOf(...cut).check(fileOf([1, 0, 1])), []);
  assert.deepEqual(ledgerOf(...cut).check(fileOf([1, 0, 2])), []);
  assert.equal(ledgerOf(...cut, end(3), ...sync(4)).check(fileOf([1, 0, 2])).length, 1);
});

test("a size is one that was set, and not older than the last that was synced", () => {
  const sized = [
    begin(1, 0, 0, { sizeMin: 4, sizeMax: 4 }),
    end(1),
    ...sync(2),
    begin(3, 4, 2, { sizeMin: 4, sizeMax: 6 }),
  ];
  for (const size of [4, 5, 6]) assert.deepEqual(ledgerOf(...sized).check(Buffer.alloc(size * sectorBytes)), []);
  for (const size of [3, 7, 8])
    assert.match(
      ledgerOf(...sized)
        .check(Buffer.alloc(size * sectorBytes))
        .join(),
      /the size is/,
    );
});

test("what a check found is the new beginning", () => {
  const ledger = ledgerOf(begin(1, 0, 1), end(1), ...sync(2));
  assert.equal(ledger.check(fileOf()).length, 1);
  assert.deepEqual(ledger.check(fileOf()), []);
  assert.equal(ledger.check(fileOf([1, 0, 1])).length, 1);
});

test("what only a sync that ended after the cut would have made durable is told apart", () => {
  const ledger = ledgerOf(begin(1, 0, 1), end(1), ...sync(2), begin(3, 1, 1), end(3));
  ledger.noteCut();
  for (const report of sync(4))
    ledger.take({ flavour: 0, count: 0, sizeMin: 0, sizeMax: 0, way: "?", ...report, first: 0 });
  assert.deepEqual(ledger.check(fileOf([1, 0, 1])), []);
  assert.match(ledger.late.join(), /^sector 1: is of operation 0/);
  const lost = ledgerOf(begin(1, 0, 1), end(1), ...sync(2));
  lost.noteCut();
  assert.match(lost.check(fileOf()).join(), /^sector 0/);
  assert.deepEqual(lost.late, []);
});
