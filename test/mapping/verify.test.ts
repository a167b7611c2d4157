/** verify() finds each breach: shared words are changed by hand, looked at, and changed back. */
import { match, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { PageCache } from "../../src/index.js";
import * as layout from "../../src/sync/layout.js";
import { open, page, writeAt } from "./fixture.js";

/** Pages 0 clean, 1 dirty, 2 unstable, 3 read-pinned, 4 counted for writing, and one counted pin over 5 and 6 in transit. */
async function fixture(t: Parameters<typeof open>[0]) {
  const { cache, file } = await open(t);
  await file.read(new Uint8Array(page), 0, page, 0);
  await writeAt(file, 1, 1);
  const read = await file.getUserPages(3 * page, 1);
  const written = await file.getUserPages(4 * page, 1, { write: true, longterm: true });
  const sent = await file.getUserPages(5 * page, 2 * page, { write: true, longterm: true });
  const token = sent.transfer();
  t.after(async () => {
    for (const pages of [read, written]) pages[Symbol.dispose]();
    sent.put();
    cache.verify({ quiesce: true });
    await cache.close({ discard: true });
  });
  const { frames, table } = cache.core;
  const recordOf = (index: number) => layout.RECORDS + table.find(0, index) * 2 ** layout.RECORD_SHIFT;
  return { cache, file, frames, recordOf, token };
}

test("a quiet cache with pins of all kinds, in transit too, has no breach", async (t) => {
  const { cache } = await fixture(t);
  cache.verify();
  cache.verify({ quiesce: true });
});

test("each breach has its message", async (t) => {
  const { cache, frames, recordOf, token } = await fixture(t);
  const { shared, plan, threads } = frames;
  const high = (bit: number) => 1 << (bit - 32);
  const flags = (index: number) => recordOf(index) + 4;
  const transfer = plan.transfers + token.transfer * layout.TRANSFER_BYTES;
  const unused = plan.transfers + (token.transfer + 1) * layout.TRANSFER_BYTES;
  const entry = plan.transits + (token.entries[0] as number) * layout.TRANSIT_BYTES;
  const slot = (field: number) => threads.at(frames.thread, field);
  /** Where, which bits are turned over, and what is said; the last ones only of a quiet cache. */
  const breaches: [string, number, number, RegExp][] = [
    ["a view of a clean page", flags(0), high(layout.VIEW_BIT), /views may store to a page that is not dirty/],
    ["stores without VIEW", recordOf(1) + layout.RECORD_VIEW, layout.VIEW_WRITABLE, /its view word lets views store/],
    ["VIEW with an even version", flags(1), high(layout.VIEW_BIT), /version \d+ with a writer/],
    ["an odd version", recordOf(0) + layout.RECORD_VERSION, 1, /version \d+ with no writer/],
    ["a writer's slot", flags(1), 3 << (layout.WRITER_SHIFT - 32), /a writer without write-back/],
    ["dirty and unstable", flags(1), high(layout.UNSTABLE_BIT), /dirty and unstable/],
    ["a grant of a clean page", flags(0), high(layout.GRANT_BIT), /clean with a grant/],
    ["no grant of a dirty page", flags(1), high(layout.GRANT_BIT), /without a grant though unclean/],
    ["not uptodate", flags(0), high(layout.UPTODATE_BIT), /not locked and not uptodate/],
    ["fresh for nobody", flags(1), high(layout.FRESH_BIT), /fresh without a writer/],
    [
      "write-back on the dirty list",
      flags(1),
      high(layout.DIRTY_BIT) | high(layout.WRITEBACK_BIT),
      /under write-back, on list 4/,
    ],
    ["quiet: a count of pages", layout.HEADER_WRITE_PINNED, 8, /totals .*,11; there are .*,3$/],
    ["quiet: a file's count", layout.MAPPINGS + layout.MAPPING_BYTES + layout.MAPPING_DIRTY, 1, /file 1: counts/],
    ["quiet: a list of a file", layout.MAPPINGS + layout.MAPPING_WRITEBACK_LIST, 1, /list 7 of file 0/],
    ["quiet: a credit left", layout.HEADER_CREDITS, 64, /frame credits are left/],
    ["quiet: a credit of a thread", slot(layout.THREAD_CREDITS), 1, /frame credits are left/],
    ["quiet: a credit in transit", transfer + layout.TRANSFER_CREDITS, 1, /frame credits are left/],
    ["quiet: a page too few in transit", entry, 1 << layout.TRANSIT_WRITE_BIT, /in its word, .* in ledgers/],
    [
      "quiet: a ledger",
      plan.ledger + ((recordOf(3) - layout.RECORDS) >> layout.RECORD_SHIFT) * 4,
      2,
      /in its word, .* in ledgers/,
    ],
    ["quiet: pages of a transfer", transfer + layout.TRANSFER_PAGES, 1, /transfer \d+ says 3 pages, 2 are in transit/],
    ["quiet: a free transfer", transfer, layout.TRANSFER_OFFERED, /transfer \d+ is free, with 2 pages and 2 credits/],
    ["quiet: pages of a free transfer", unused + layout.TRANSFER_PAGES, 1, /transfer \d+ says 1 pages/],
    ["quiet: write-pinned pages of a thread", slot(layout.THREAD_WRITE_PAGES), 1, /write-pinned pages/],
    ["quiet: pins' credits of a thread", slot(layout.THREAD_PINNED_CREDITS), 1, /pins' credits/],
    ["quiet: a waiter", layout.HEADER_NODES_USED, 1, /1 tasks wait/],
    ["quiet: the latch", layout.HEADER_LISTS_LATCH, 1, /latch is taken/],
  ];
  for (const [name, address, bits, message] of breaches) {
    const before = shared.load(address);
    shared.store(address, before ^ bits);
    try {
      throws(
        () => cache.verify({ quiesce: name.startsWith("quiet") }),
        (error: Error & { code?: string }) => {
          strictEqual(error.code, "ERR_PINFOLD_VERIFY", `${name}: ${error.message}`);
          match(error.message, message, name);
          return true;
        },
        name,
      );
    } finally {
      shared.store(address, before);
    }
  }
  cache.verify({ quiesce: true });
});

test("a breach stays one, also where other threads use the cache", async (t) => {
  const { cache, frames, recordOf } = await fixture(t);
  const other = PageCache.attach(cache.share());
  const address = recordOf(1) + layout.RECORD_VERSION;
  const before = frames.shared.load(address);
  frames.shared.store(address, before + 1);
  throws(() => cache.verify(), /version/);
  frames.shared.store(address, before);
  await other.close();
});
