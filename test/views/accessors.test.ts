/** A mapped view reads and writes as a DataView over the same bytes does, whatever the page size, across pages and segments' ends. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import type { MappedView } from "../../src/index.js";
import { THREAD_HAZARD_0 } from "../../src/sync/layout.js";
import { filled, open, page } from "../mapping/fixture.js";

const numbers = ["Int8", "Uint8", "Int16", "Uint16", "Int32", "Uint32", "Float32", "Float64"] as const;
const wide = ["BigInt64", "BigUint64"] as const;
type Kind = (typeof numbers)[number] | (typeof wide)[number];

const widths: Record<Kind, number> = {
  Int8: 1,
  Uint8: 1,
  Int16: 2,
  Uint16: 2,
  Int32: 4,
  Uint32: 4,
  Float32: 4,
  Float64: 8,
  BigInt64: 8,
  BigUint64: 8,
};

type Accessors = Pick<DataView, `get${Kind}` | `set${Kind}` extends infer Name extends keyof DataView ? Name : never>;

function get(target: Accessors, kind: Kind, address: number, littleEndian: boolean): number | bigint {
  return target[`get${kind}`](address, littleEndian);
}

function set(target: Accessors, kind: Kind, address: number, value: number | bigint, littleEndian: boolean): void {
  (target[`set${kind}`] as (address: number, value: number | bigint, littleEndian: boolean) => void).call(
    target,
    address,
    value,
    littleEndian,
  );
}

const valueOf = (kind: Kind) =>
  kind.startsWith("Big")
    ? fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n })
    : fc.oneof(fc.double(), fc.integer(), fc.integer({ min: -(2 ** 40), max: 2 ** 40 }));

/** One access: mostly near a page's end. */
const access = (bytes: number, pageSize: number) =>
  fc.constantFrom<Kind>(...numbers, ...wide).chain((kind) =>
    fc.record({
      kind: fc.constant(kind),
      isStore: fc.boolean(),
      address: fc.oneof(
        fc.integer({ min: 0, max: bytes - widths[kind] }),
        fc
          .record({
            edge: fc.integer({ min: 1, max: Math.floor(bytes / pageSize) - 1 }),
            before: fc.integer({ min: 0, max: 9 }),
          })
          .map(({ edge, before }) => edge * pageSize - before),
      ),
      littleEndian: fc.boolean(),
      value: valueOf(kind),
    }),
  );

describe("a mapped view's accessors", () => {
  for (const pageSize of [page, 16 * page]) {
    it(`do what DataView's do, with pages of ${pageSize} bytes`, async (t) => {
      const pages = 6;
      const { cache, file } = await open(t, { pages, cache: { pageSize } });
      const start = 123;
      const bytes = (pages - 1) * pageSize;
      const expected = new DataView(new ArrayBuffer(bytes));
      const view = file.map(start, bytes);
      fc.assert(
        fc.property(fc.array(access(bytes, pageSize), { minLength: 1, maxLength: 60 }), (accesses) => {
          for (const { kind, isStore, address, littleEndian, value } of accesses) {
            if (isStore) {
              set(expected, kind, address, value, littleEndian);
              set(view, kind, address, value, littleEndian);
            }
            assert.deepEqual(get(view, kind, address, littleEndian), get(expected, kind, address, littleEndian));
          }
        }),
        { numRuns: 60 },
      );
      const contents = new Uint8Array(bytes);
      await file.read(contents, 0, bytes, start);
      assert.deepEqual(contents, new Uint8Array(expected.buffer));
      view.copyTo(contents.fill(0));
      assert.deepEqual(contents, new Uint8Array(expected.buffer));
      cache.verify({ quiesce: true });
    });
  }

  it("convert values and refuse them as DataView's do", async (t) => {
    const { cache, file } = await open(t);
    const { shared, threads, thread } = cache.core.frames;
    const view = file.map();
    view.setUint8(0, 300.7);
    assert.equal(view.getUint8(0), 44);
    view.setInt16(0, "7" as unknown as number);
    assert.equal(view.getInt16(0), 7);
    assert.throws(() => view.setInt32(0, 1n as unknown as number), TypeError);
    assert.throws(() => view.setBigInt64(0, 1 as unknown as bigint), TypeError);
    let inside = 0;
    const value = {
      valueOf: () => {
        assert.equal(shared.load(threads.at(thread, THREAD_HAZARD_0)), 0, "no caller's code runs within a store");
        inside = view.getInt32(8);
        view.setInt32(8, inside + 1);
        return 5;
      },
    };
    view.setInt32(4, value as unknown as number);
    assert.deepEqual([view.getInt32(4), view.getInt32(8), inside], [5, 1, 0]);
  });

  it("refuse addresses that are none or do not lie in the view", async (t) => {
    const { cache, file } = await open(t, { pages: 4 });
    const view = file.map(page, 100);
    const refused = (code: string, call: () => unknown) => assert.throws(call, { code }, String(call));
    assert.equal(view.byteLength, 100);
    assert.equal(view.position, page);
    refused("ERR_PINFOLD_OUT_OF_RANGE", () => view.getInt8(100));
    refused("ERR_PINFOLD_OUT_OF_RANGE", () => view.getInt32(97));
    refused("ERR_PINFOLD_OUT_OF_RANGE", () => view.setFloat64(93, 1));
    refused("ERR_PINFOLD_OUT_OF_RANGE", () => view.getInt8(-1));
    for (const address of [Number.NaN, "1", undefined, null, {}, 99.5, Number.POSITIVE_INFINITY])
      refused("EINVAL", () => view.getInt32(address as number));
    refused("EINVAL", () => view.copyTo(new Uint8Array(4), 0, 5));
    refused("EINVAL", () => view.copyTo(new Uint8Array(4), 0, -1));
    refused("ERR_PINFOLD_OUT_OF_RANGE", () => view.copyTo(new Uint8Array(8), 96, 5));
    refused("ERR_PINFOLD_OUT_OF_RANGE", () => view.copyFrom(new Uint8Array(5), 96));
    refused("EINVAL", () => view.copyFrom("text" as unknown as Uint8Array));
    assert.equal(view.copyTo(new Uint8Array(8), 96), 4);
    assert.equal(cache.stats().dirtyPages, 0);
    cache.verify({ quiesce: true });
  });
});

describe("copyTo and copyFrom", () => {
  it("move bytes across pages", async (t) => {
    const { file } = await open(t, { pages: 8 });
    const view = file.map(100, 5 * page);
    const source = Uint8Array.from({ length: 3 * page }, (_, at) => at * 7);
    assert.equal(view.copyFrom(source, 50), source.length);
    const target = new Uint8Array(3 * page);
    assert.equal(view.copyTo(target, 50), target.length);
    assert.deepEqual(target, source);
    const read = new Uint8Array(3 * page);
    await file.read(read, 0, read.length, 150);
    assert.deepEqual(read, source);
  });
});

describe("map", () => {
  const code = (wanted: string) => ({ code: wanted });

  it("takes a part of the file, or what there is from a position on", async (t) => {
    const { file } = await open(t, { pages: 4 });
    assert.equal(file.map().byteLength, 4 * page);
    assert.equal(file.map(page).byteLength, 3 * page);
    assert.equal(file.map(4 * page).byteLength, 0);
    assert.throws(() => file.map(0, 4 * page + 1), code("ERR_PINFOLD_OUT_OF_RANGE"));
    assert.throws(() => file.map(4 * page + 1), code("ERR_PINFOLD_OUT_OF_RANGE"));
    assert.throws(() => file.map(-1), code("EINVAL"));
    assert.throws(() => file.map(0, 1.5), code("EINVAL"));
    assert.throws(() => file.map(0, 2 ** 52), code("EFBIG"));
  });

  it("needs a store with sync calls", async (t) => {
    const { file } = await open(t, { store: { syncCalls: false } });
    assert.throws(() => file.map(), code("ENOTSUP"));
  });

  it("pins pages through the view", async (t) => {
    const { file } = await open(t, { pages: 4 });
    const view: MappedView = file.map(page, page);
    view.setUint8(3, 9);
    const pages = await view.getUserPages(2, 4, { write: true });
    assert.deepEqual([...pages.bytes], [0, 9, 0, 0]);
    pages.bytes.set([1, 2, 3, 4]);
    pages.put();
    assert.equal(view.getUint32(2), 0x01020304);
    await assert.rejects(view.getUserPages(page - 1, 2), code("ERR_PINFOLD_OUT_OF_RANGE"));
  });

  it("ends with unmap and with the file's close", async (t) => {
    const { cache, file } = await open(t, { pages: 4 });
    await file.write(filled(7), 0, page, 0);
    const first = file.map();
    {
      using second = file.map();
      assert.equal(second.getUint8(0), 7);
      first.unmap();
      assert.equal(first.byteLength, 0);
      assert.throws(() => first.getUint8(0), code("EBADF"));
      assert.throws(() => first.setUint8(0, 1), code("EBADF"));
      assert.equal(second.getUint8(0), 7);
    }
    const third = file.map();
    third.setUint8(1, 8);
    assert.equal(third.getUint8(1), 8);
    await file.close();
    assert.throws(() => third.getUint8(1), code("EBADF"));
    assert.throws(() => third.setUint8(1, 9), code("EBADF"));
    assert.throws(() => third.setFloat64(page - 4, 9), code("EBADF"));
    assert.throws(() => third.copyTo(new Uint8Array(2)), code("EBADF"));
    assert.throws(() => file.map(), code("EBADF"));
    cache.verify({ quiesce: true });
  });

  it("ends with its own opener, while another one goes on", async (t) => {
    const { cache, file, store } = await open(t, { pages: 4 });
    const other = await cache.open(store);
    const view = file.map();
    const otherView = other.map();
    view.setUint8(1, 8);
    assert.equal(otherView.getUint8(1), 8);
    otherView.setUint8(2, 9);
    await file.close();
    assert.throws(() => view.getUint8(1), code("EBADF"));
    assert.throws(() => view.setUint8(1, 9), code("EBADF"));
    assert.equal(otherView.getUint8(1), 8);
    otherView.setUint8(1, 10);
    await cache.close();
    assert.throws(() => otherView.getUint8(1), code("EBADF"));
    assert.throws(() => otherView.setUint8(1, 1), code("EBADF"));
  });
});
