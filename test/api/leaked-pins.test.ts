/** Rule 19: a pin whose handle was collected is never released under whoever still has its bytes. Needs a collector on demand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runProgram } from "./fixture.js";

const preamble = `
  import { subscribe } from "node:diagnostics_channel";
  import { setTimeout as sleep } from "node:timers/promises";
  const { PageCache, MemoryStore } = pinfold;
  const events = [];
  const warnings = [];
  subscribe("pinfold:leaked", (event) => events.push(event));
  process.on("warning", (warning) => warnings.push({ code: warning.code, message: warning.message }));
  const cache = await PageCache.open({ memory: "1MiB", leakedPagesMax: 3, pinSites: "all" });
  const store = new MemoryStore({ sizeBytes: 400 * 4096, name: "disk" });
  const file = await cache.open(store);
  async function lose(position, length, options) {
    const pages = await file.getUserPages(position, length, options);
    return pages.bytes;
  }
  async function collect(wanted) {
    await sleep(1100);
    for (let i = 0; i < 100 && cache.stats().leakedPages < wanted; i++) { globalThis.gc(); await sleep(10); }
  }
`;

function run(source: string): Record<string, unknown> {
  const { status, stdout, stderr } = runProgram(
    `${preamble}\n${source}\nprocess.stdout.write(JSON.stringify(result)); process.reallyExit(0);`,
    {
      nodeOptions: ["--expose-gc"],
    },
  );
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as Record<string, unknown>;
}

test("a locked write pin that was dropped keeps its page: bytes stay valid, dirty, not evicted, reported once", () => {
  const result = run(`
    const bytes = await lose(0, 4096, { write: true });
    bytes.fill(7);
    await collect(1);
    const told = { leaked: cache.stats().leakedPages, pins: cache.pins(), events: events.length, warnings: [...warnings] };
    bytes[1] = 8;
    for (let page = 1; page < 400; page++) await file.read(Buffer.alloc(1), 0, 1, page * 4096);
    globalThis.gc();
    await sleep(20);
    const read = Buffer.alloc(3);
    await file.read(read, 0, 3, 0);
    cache.verify({ quiesce: true });
    await file.sync();
    const stored = Buffer.alloc(4096);
    await store.readPages(0, [stored]);
    const result = { ...told, event: events[0], eventsAtEnd: events.length, warningsAtEnd: warnings.length,
      read: [...read], kept: [...bytes.subarray(0, 3)], dirty: cache.stats().dirtyPages, stored: [...stored.subarray(0, 3)], evictions: cache.stats().evictions };
  `);
  assert.equal(result["leaked"], 1);
  assert.equal(result["events"], 1);
  assert.equal(result["eventsAtEnd"], 1);
  assert.equal(result["warningsAtEnd"], 1);
  const [warning] = result["warnings"] as { code: string; message: string }[];
  assert.equal(warning?.code, "PINFOLD_LEAKED_PAGES");
  assert.match(warning?.message ?? "", /disk \[0, 4096\) taken at (async )?lose/);
  const { site, ...event } = result["event"] as Record<string, unknown>;
  assert.deepEqual(event, { file: "disk", position: 0, length: 4096, write: true });
  assert.match(String(site), /^(async )?lose/);
  const [pin] = result["pins"] as Record<string, unknown>[];
  assert.equal(pin?.["leaked"], true);
  assert.equal(pin?.["protocol"], "counted");
  assert.deepEqual(
    [result["read"], result["kept"], result["stored"]],
    [
      [7, 8, 7],
      [7, 8, 7],
      [7, 8, 7],
    ],
  );
  assert.equal(result["dirty"], 1, "written as a snapshot, and dirty still");
  assert.ok((result["evictions"] as number) > 100);
});

test("from leakedPagesMax on new write pins are refused and read pins are not", () => {
  const result = run(`
    for (let page = 0; page < 3; page++) await lose(page * 4096, 10, { write: page > 0, longterm: page === 2 });
    await collect(3);
    const code = await file.getUserPages(10 * 4096, 1, { write: true }).then(() => "pinned", (error) => error.code);
    const codes = [code];
    for (const call of [
      () => file.tryGetUserPages(10 * 4096, 1, { write: true }),
      () => file.getUserPagesSync(10 * 4096, 1, { write: true }),
    ]) { try { call(); codes.push("pinned"); } catch (error) { codes.push(error.code); } }
    codes.push(await cache.pin([{ file, position: 0, length: 1, write: true }]).then(() => "pinned", (error) => error.code));
    const pages = await file.getUserPages(10 * 4096, 1);
    codes.push(await pages.upgrade().then(() => "upgraded", (error) => error.code));
    pages.put();
    await file.write("writes go on", 20 * 4096);
    codes.push(await cache.close().then(() => "closed", (error) => error.code));
    const result = { codes, leaked: cache.stats().leakedPages, events: events.length };
  `);
  const refused = "ERR_PINFOLD_LEAKED_PAGES";
  assert.deepEqual(result["codes"], [refused, refused, refused, refused, refused, "EBUSY"]);
  assert.equal(result["leaked"], 3);
  assert.equal(result["events"], 3);
});

test("pins that are put are never reported, young or old", () => {
  const result = run(`
    const old = await file.getUserPages(0, 10, { write: true });
    for (let i = 0; i < 2000; i++) (await file.getUserPages(4096, 10)).put();
    await sleep(1100);
    old.put();
    for (let i = 0; i < 10; i++) { globalThis.gc(); await sleep(10); }
    const result = { events: events.length, leaked: cache.stats().leakedPages, pins: cache.pins().length };
  `);
  assert.deepEqual(result, { events: 0, leaked: 0, pins: 0 });
});
