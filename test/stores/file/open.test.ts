/**
 * Opening a file store: codes, locks, sizes, descriptors of the process, what is said about the file system.
 */
import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { Worker } from "node:worker_threads";
import { AssertionError } from "../../../src/base/assert.js";
import { PinfoldError } from "../../../src/base/errors.js";
import { policyOf } from "../../../src/stores/file/detect.js";
import { FileStore } from "../../../src/stores/file/file-store.js";
import type { FileStoreOptions } from "../../../src/stores/file/open.js";
import { alignedBytes, patternBytes } from "../../../src/testing/index.js";

const directory = mkdtempSync(join(tmpdir(), "pinfold-open-"));
after(() => rmSync(directory, { recursive: true }));
const storeUrl = new URL("../../../src/stores/file/file-store.js", import.meta.url).href;

function fileOf(name: string, length: number): string {
  const path = join(directory, name);
  writeFileSync(path, patternBytes(new Uint8Array(length), 0));
  return path;
}

async function fails(code: string, path: string, options: FileStoreOptions = {}, message = /./): Promise<void> {
  await rejects(FileStore.open(path, options), (error: unknown) => {
    ok(error instanceof PinfoldError, String(error));
    strictEqual(error.code, code);
    ok(message.test(error.message), error.message);
    return true;
  });
}

/** Runs code in another process; its output. */
function inProcess(code: string, env: Record<string, string> = {}): string {
  return execFileSync(process.execPath, ["--input-type=module", "-e", code], {
    encoding: "utf8",
    env: { ...process.env, NODE_TEST_CONTEXT: "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  }).trim();
}

describe("opening a file store", () => {
  it("a missing file is ENOENT, and is made with create", async () => {
    const path = join(directory, "new");
    await fails("ENOENT", path);
    ok(!existsSync(path));
    const store = await FileStore.open(path, { create: true, sizeBytes: 12_345 });
    strictEqual(store.sizeBytes, 12_345);
    strictEqual(statSync(path).blocks, 0, "sparse");
    await store.close();
  });

  it("a directory is EISDIR, a device without blocks EINVAL, a path without sense EINVAL", async () => {
    await fails("EISDIR", directory);
    await fails("EISDIR", directory, { readOnly: true });
    await fails("EINVAL", "/dev/null");
    await fails("EINVAL", "");
    await fails("EINVAL", "a\0b");
  });

  it("options that exclude each other are EINVAL, and make no file", async () => {
    const path = join(directory, "never");
    await fails("EINVAL", path, { create: true, readOnly: true });
    await fails("EINVAL", path, { create: true, sizeBytes: -1 });
    await fails("EINVAL", path, { create: true, sizeBytes: 0.5 });
    await fails("EFBIG", path, { create: true, sizeBytes: Number.MAX_SAFE_INTEGER });
    ok(!existsSync(path));
  });

  it("a file that was created is removed again when opening fails later", async () => {
    const path = join(directory, "too-large");
    await fails("EFBIG", path, { create: true, sizeBytes: 2 ** 52 });
    ok(!existsSync(path));
  });

  it("an existing file keeps its size: another is EINVAL and says so, the same does, an empty file gets it", async () => {
    const path = fileOf("sized", 5000);
    await fails("EINVAL", path, { sizeBytes: 6000 }, /5000 bytes, not 6000/);
    strictEqual(statSync(path).size, 5000);
    const same = await FileStore.open(path, { create: true, sizeBytes: 5000 });
    await same.close();
    truncateSync(path, 0);
    await fails("EINVAL", path, { readOnly: true, sizeBytes: 6000 });
    const grown = await FileStore.open(path, { sizeBytes: 6000 });
    strictEqual(grown.sizeBytes, 6000);
    await grown.close();
    strictEqual(statSync(path).size, 6000);
  });

  it("a second open is EBUSY while the first is open, and not after it", async () => {
    const path = fileOf("locked", 5000);
    const first = await FileStore.open(path);
    await fails("EBUSY", path);
    await fails("EBUSY", path, { readOnly: true });
    const unlocked = await FileStore.open(path, { lock: false });
    strictEqual(unlocked.key, first.key);
    await unlocked.close();
    await first.close();
    const next = await FileStore.open(path);
    await next.close();
  });

  it("readers share, and keep a writer out", async () => {
    const path = fileOf("shared", 5000);
    const readers = [await FileStore.open(path, { readOnly: true }), await FileStore.open(path, { readOnly: true })];
    await fails("EBUSY", path);
    for (const reader of readers) await reader.close();
    await (await FileStore.open(path)).close();
  });

  it("another process is kept out, and gets the lock when this one lets go", async () => {
    const path = fileOf("processes", 5000);
    const code = `import { FileStore } from ${JSON.stringify(storeUrl)};
      const s = await FileStore.open(${JSON.stringify(path)}).catch((e) => e); console.log(s.code ?? "opened");`;
    const store = await FileStore.open(path);
    strictEqual(inProcess(code), "EBUSY");
    await store.close();
    strictEqual(inProcess(code), "opened");
  });

  it("without koffi it warns that there is no lock, and says that it cannot punch or allocate", () => {
    const path = fileOf("warned", 5000);
    const code = `import { FileStore } from ${JSON.stringify(storeUrl)};
      const codes = []; process.on("warning", (w) => codes.push(w.code));
      const s = await FileStore.open(${JSON.stringify(path)});
      await new Promise((r) => setImmediate(r));
      const allocated = await s.allocate(0, 4096).catch((e) => e.code);
      console.log(JSON.stringify([codes, s.capabilities.punchesHoles, allocated]));`;
    deepStrictEqual(JSON.parse(inProcess(code, { PINFOLD_NO_KOFFI: "1" })), [["PINFOLD_NO_LOCK"], false, "ENOTSUP"]);
  });

  it("descriptors outlive the worker that opened them, and another thread can attach to them", async () => {
    const path = fileOf("threads", 5000);
    const cells = new Int32Array(new SharedArrayBuffer(32));
    const worker = new Worker(
      `const { parentPort, workerData } = require("node:worker_threads");
       import(${JSON.stringify(storeUrl)}).then(async ({ FileStore }) => parentPort.postMessage((await FileStore.open(${JSON.stringify(path)}, { direct: true })).share(workerData)));`,
      { eval: true, workerData: cells },
    );
    const share = await new Promise<string>((resolve, reject) => {
      worker.on("message", resolve);
      worker.on("error", reject);
    });
    await worker.terminate();
    const store = FileStore.attach(share, cells);
    const back = alignedBytes(8192).fill(1);
    await store.readPages(0, [back]);
    strictEqual(Buffer.compare(back.subarray(0, 5000), patternBytes(new Uint8Array(5000), 0)), 0);
    ok(back.subarray(5000).every((byte) => byte === 0));
    await fails("EBUSY", path);
    await store.close();
    await (await FileStore.open(path)).close();
  });

  it("a detached thread leaves the file open for the others", async () => {
    const path = fileOf("detached", 5000);
    const store = await FileStore.open(path);
    const cells = new Int32Array(new SharedArrayBuffer(32));
    FileStore.attach(shareOf(store, cells), cells).detach();
    await store.sync({ data: true });
    await fails("EBUSY", path);
    await store.close();
  });

  it("using a closed store is an assertion, closing twice too", async () => {
    const store = await FileStore.open(fileOf("closed", 5000));
    await store.close();
    await rejects(store.close(), AssertionError);
    await rejects(store.readPages(0, [new Uint8Array(4096)]), AssertionError);
  });

  it("two paths of one file have one key", async () => {
    const path = fileOf("one", 5000);
    const store = await FileStore.open(path);
    const other = await FileStore.open(join(directory, ".", "one"), { lock: false });
    strictEqual(store.key, other.key);
    await store.close();
    await other.close();
  });

  it("a file system that is not in the table promises nothing", () => {
    strictEqual(policyOf(0x12345678).reserves, "none");
    strictEqual(policyOf(0x9123683e).reserves, "none", "btrfs");
    strictEqual(policyOf(0x9123683e - 2 ** 32).reserves, "none", "btrfs, as a signed number");
    strictEqual(policyOf(0x794c7630).reserves, "none", "overlay");
    strictEqual(policyOf(0xef53).reserves, "data", "ext4");
    strictEqual(policyOf(0x58465342).reserves, "data", "XFS");
  });
});

function shareOf(store: FileStore, cells: Int32Array): string {
  const shared = store.share?.(cells);
  ok(shared !== undefined, "with koffi a file store can be shared");
  return shared;
}
