/**
 * Fault F34: descriptors or address space have run out. The call that needs them says so, and leaves all as it was: what is open can be
 * used, and the same call works once there is enough again.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { loadCLibrary } from "../../src/base/c-library.js";
import { PageCache } from "../../src/index.js";
import { failsWith, openMemory } from "./fixture.js";

/** Runs an act of shortage-process.ts under a limit, as `ulimit` takes it. */
function run(act: string, limit: string): unknown {
  const program = fileURLToPath(new URL("./shortage-process.js", import.meta.url));
  const { status, stdout, stderr } = spawnSync(
    "sh",
    ["-c", `ulimit ${limit} && exec "$0" "$@"`, process.execPath, program, act],
    { encoding: "utf8", timeout: 60_000 },
  );
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as unknown;
}

/** Node loads many modules at once; the limit leaves room for that. */
const descriptors = "-n 256";
const skip = loadCLibrary() === null && "koffi does not load";

test("no descriptor for a file, or for its folder: EMFILE, no file is left, and files that are open go on", () => {
  const expected: Record<string, unknown> = { durable: true };
  for (const left of [0, 1])
    Object.assign(expected, {
      [`open with ${left}`]: "EMFILE",
      [`there with ${left}`]: false,
      [`use with ${left}`]: "done",
      [`files with ${left}`]: 1,
      [`another cache with ${left}`]: left === 0 ? "EMFILE" : "done",
      [`open after ${left}`]: "done",
    });
  assert.deepEqual(run("open", descriptors), expected);
});

test("no descriptor for a thread that attaches: EMFILE each time, no slot is lost, and later it attaches", () => {
  assert.deepEqual(run("attach", descriptors), ["EMFILE", "1", "done"]);
});

test("a thread that died is cleaned up after though there is no descriptor to look for it with", () => {
  assert.deepEqual(run("died", descriptors), ["done", 1]);
});

test("no descriptor for what a thread needs to close a file: EMFILE, the file stays open, and later it closes", {
  skip,
}, () => {
  assert.deepEqual(run("close", descriptors), ["EMFILE", "done", "EMFILE", "done", "done"]);
});

test("an addon that could not be loaded for want of descriptors is not taken for missing", { skip }, () => {
  assert.deepEqual(run("koffi", descriptors), ["EMFILE", true, true]);
});

test("no memory for the page words' module where a thread attaches: ENOMEM each time, no slot is lost, and later it attaches", async (t) => {
  const { cache, file } = await openMemory(t, 4);
  const { threads } = cache.core.frames;
  const share = cache.share();
  t.mock.method(WebAssembly, "Instance", function refuse() {
    throw new RangeError("WebAssembly.Instance(): Out of memory");
  });
  for (let i = 0; i < 20; i++) await failsWith("ENOMEM", () => PageCache.attach(share));
  await failsWith("ENOMEM", () => PageCache.open({ memory: "1MiB" }));
  t.mock.restoreAll();
  assert.equal([...threads.claimed()].length, 1);
  await PageCache.attach(share).close();
  await file.write("goes on", 0);
  cache.verify({ quiesce: true });
});

test("no address space for another cache: ENOMEM, and the caches that there are go on", () => {
  // 48 GiB: V8 sets some aside around each memory.
  assert.deepEqual(run("memory", `-v ${48 * 2 ** 20}`), ["ENOMEM", true, "done", "done"]);
});
