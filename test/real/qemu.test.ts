/** QEMU's and libnbd's own clients against `pinfold serve`. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { test, type TestContext } from "node:test";
import { GiB, MiB } from "../../src/base/limits.js";
import { scratchFolder } from "../nbd/fixture.js";
import { has, overheadBytes, pathOf, run, startServing, Undo } from "./server-process.js";

/** Runs qemu-io commands in turn; what it printed, failed or not. */
async function qemuIo(uri: string, commands: readonly string[]): Promise<{ ok: boolean; output: string }> {
  try {
    const output = await run("qemu-io", ["-f", "raw", ...commands.flatMap((command) => ["-c", command]), uri]);
    return { ok: !/failed|error/i.test(output), output };
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    return { ok: false, output: `${stdout ?? ""}${stderr ?? ""}` };
  }
}

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: MiB }), hash);
  return hash.digest("hex");
}

for (const pageSize of [4096, 65_536]) {
  test(`qemu-io finds its patterns everywhere on the disk, aligned and not, with pages of ${pageSize} bytes`, async (t) => {
    if (!has(t, "qemu-io")) return;
    const undo = new Undo(t);
    const server = await startServing(t, undo, [join(scratchFolder(t), "disk")], {
      size: "64MiB",
      memory: "8MiB",
      pageSize,
    });
    const writes: string[] = [];
    const reads: string[] = [];
    for (let at = 0; at < 64; at += 4) {
      const pattern = 0x11 + at;
      writes.push(`write -P ${pattern} ${at}M 4M`, `write -P ${pattern ^ 0xff} ${at * MiB + 12_345} 70001`);
      reads.push(
        `read -P ${pattern} ${at}M 12345`,
        `read -P ${pattern ^ 0xff} ${at * MiB + 12_345} 70001`,
        `read -P ${pattern} ${at * MiB + 82_346} ${4 * MiB - 82_346}`,
      );
    }
    const whole = await qemuIo(server.uri(), [...writes, "flush", ...reads]);
    assert.ok(whole.ok, whole.output);
    const holes = await qemuIo(server.uri(), [
      "discard 4M 4M",
      "write -z 8M 1M",
      "write -z -u 9M 1M",
      "write -z 10487000 5000",
      "write -z -u 12600001 70000",
      "read -P 0 8M 2M",
      "read -P 0 10487000 5000",
      `read -P ${0x11 + 8} 10485760 1240`,
      `read -P ${0x11 + 8} 10492000 100000`,
      "read -P 0 12600001 70000",
      `read -P ${0x11 + 12} 12670001 4097`,
      "write -f -P 0x77 5000000 4097",
      "read -P 0x77 5000000 4097",
      `read -P 0x11 0 12345`,
      `read -P ${0x11 + 12} 16000000 4096`,
    ]);
    assert.ok(holes.ok, holes.output);
    const wrong = await qemuIo(server.uri(), ["read -P 0x42 0 4k"]);
    assert.match(wrong.output, /Pattern verification failed/, "a wrong pattern is noticed");
    assert.deepEqual(await server.end(), { code: 0, signal: null }, server.stderr);
  });
}

test("what qemu-io wrote is there after a restart", async (t) => {
  if (!has(t, "qemu-io")) return;
  const undo = new Undo(t);
  const disk = join(scratchFolder(t), "disk");
  const first = await startServing(t, undo, [disk], { size: "32MiB" });
  const written = await qemuIo(first.uri(), ["write -P 0x5a 1000001 3000003", "discard 2M 64k"]);
  assert.ok(written.ok, written.output);
  assert.equal((await first.end()).code, 0, first.stderr);
  const second = await startServing(t, undo, [disk]);
  const read = await qemuIo(second.uri(), [
    "read -P 0x5a 1000001 1097151",
    "read -P 0x5a 2162688 1837316",
    "read -P 0 4000004 1000",
  ]);
  assert.ok(read.ok, read.output);
});

test("nbdinfo shows what is promised, for each export", async (t) => {
  if (!has(t, "nbdinfo")) return;
  const undo = new Undo(t);
  const folder = scratchFolder(t);
  const server = await startServing(t, undo, [join(folder, "one"), join(folder, "two")], { size: "3MiB" });
  const abilities = [
    "can_cache",
    "can_df",
    "can_fast_zero",
    "can_flush",
    "can_fua",
    "can_multi_conn",
    "can_trim",
    "can_zero",
  ];
  for (const name of ["", "one", "two"]) {
    const text = await run("nbdinfo", ["--json", server.uri(name)]);
    const [disk] = (JSON.parse(text) as { exports: Record<string, unknown>[] }).exports;
    assert.equal(disk?.["export-size"], 3 * MiB);
    assert.equal(disk["is_read_only"], false);
    assert.equal(disk["block_size_preferred"], 4096);
    for (const ability of abilities) assert.equal(disk[ability], true, ability);
  }
  const list = await run("nbdinfo", ["--list", server.uri()]);
  assert.match(list, /export="one"/);
  assert.match(list, /export="two"/);
});

/** A file system image with a real tree in it. */
async function ext4Image(t: TestContext, mebibytes: number): Promise<string | undefined> {
  if (!has(t, "mkfs.ext4", "nbdcopy")) return undefined;
  const tree = ["/usr/share", "/usr/include"].find((path) => existsSync(path));
  if (tree === undefined) {
    t.skip("no tree to make an image of: no /usr/share");
    return undefined;
  }
  const folder = scratchFolder(t);
  // As much of it as there is room for: what counts is that it is a real file system with real files.
  const part = join(folder, "tree");
  const script =
    'mkdir "$2" && cd "$1" && find . -xdev -type f -size -2048k -print0 | LC_ALL=C sort -z | head -z -n 4000 | cpio -0pdm --quiet "$2"';
  if (pathOf("cpio") === undefined) {
    await run("sh", ["-c", script.replace(/cpio .*$/, 'xargs -0 cp --parents -t "$2"'), "sh", tree, part]);
  } else await run("sh", ["-c", script, "sh", tree, part]);
  const image = join(folder, "image");
  await run("mkfs.ext4", ["-q", "-F", "-d", part, image, `${mebibytes}M`]);
  return image;
}

test("nbdcopy copies an ext4 image of 256 MiB in and out through a cache of 16 MiB: the same SHA-256", async (t) => {
  const image = await ext4Image(t, 256);
  if (image === undefined) return;
  const undo = new Undo(t);
  const folder = scratchFolder(t);
  const server = await startServing(t, undo, [join(folder, "disk")], { size: "256MiB", memory: "16MiB" });
  await run("nbdcopy", ["--flush", image, server.uri()]);
  await run("nbdcopy", [server.uri(), join(folder, "back")]);
  const expected = await sha256(image);
  assert.equal(await sha256(join(folder, "back")), expected, "what came back");
  assert.equal(await sha256(join(folder, "disk")), expected, "what lies in the file after the flush");
  assert.deepEqual(await server.end(), { code: 0, signal: null }, server.stderr);
});

for (const memory of [16, 256]) {
  test(`a sparse GiB through nbdcopy takes at most ${memory} MiB of pages and 100 MiB of memory`, async (t) => {
    if (!has(t, "nbdcopy", "truncate", "dd")) return;
    const undo = new Undo(t);
    const folder = scratchFolder(t);
    const sparse = join(folder, "sparse");
    await run("truncate", ["-s", String(GiB), sparse]);
    for (const at of [0, 211, 500, 987]) {
      const args = [
        "if=/dev/urandom",
        `of=${sparse}`,
        "bs=1M",
        `seek=${at}`,
        "count=32",
        "conv=notrunc",
        "status=none",
      ];
      await run("dd", args);
    }
    const server = await startServing(t, undo, [join(folder, "disk")], { size: "1GiB", memory: `${memory}MiB` });
    await run("nbdcopy", ["--flush", sparse, server.uri()]);
    await run("nbdcopy", [server.uri(), join(folder, "back")]);
    const peak = server.peakBytes;
    t.diagnostic(`peak memory ${(peak / MiB).toFixed(0)} MiB, of which ${memory} MiB of pages`);
    await run("cmp", [sparse, join(folder, "back")]);
    assert.ok(peak <= memory * MiB + overheadBytes, `${peak} bytes`);
  });
}
