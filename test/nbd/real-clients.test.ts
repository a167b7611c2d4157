/** QEMU, libnbd and fio against the server, as they are. A client that is not installed is named and not run. */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { MiB } from "../../src/base/limits.js";
import { ArrayDevice } from "./array-device.js";
import { pattern, scratchFolder, startServer } from "./fixture.js";

const execute = promisify(execFile);

/** False, and the test is skipped by name, where the program is missing. */
function has(t: TestContext, program: string): boolean {
  if (spawnSync("which", [program]).status === 0) return true;
  t.skip(`${program} is not installed`);
  return false;
}

async function run(program: string, ...args: string[]): Promise<string> {
  const { stdout } = await execute(program, args, { timeout: 60_000, maxBuffer: 16 * MiB });
  return stdout;
}

/** Both kinds of address, and a device whose calls wait every other time. */
async function servers(t: TestContext): Promise<{ device: ArrayDevice; uri: string }[]> {
  const result: { device: ArrayDevice; uri: string }[] = [];
  for (const tcp of [false, true]) {
    const device = new ArrayDevice(64 * MiB);
    let calls = 0;
    const tryRead = device.tryRead.bind(device);
    const tryWrite = device.tryWrite.bind(device);
    device.tryRead = (target, position) => calls++ % 2 === 0 && tryRead(target, position);
    device.tryWrite = (source, position) => calls++ % 2 === 0 && tryWrite(source, position);
    const address = tcp ? { address: { host: "127.0.0.1", port: 0 } } : {};
    const server = await startServer(t, new Map([["disk one", device]]), address);
    result.push({ device, uri: server.uri() });
  }
  return result;
}

test("qemu-io writes, reads, discards and zeroes", async (t) => {
  if (!has(t, "qemu-io")) return;
  for (const { uri } of await servers(t)) {
    const commands = ["write -P 0xab 0 1M", "read -P 0xab 0 1M", "write -f -P 0x11 12345 7", "read -P 0x11 12345 7"];
    const more = [
      "write -z 4k 8k",
      "read -P 0 4k 8k",
      "write -z -u 64k 64k",
      "read -P 0 64k 64k",
      "discard 1M 1M",
      "flush",
    ];
    const output = await run("qemu-io", "-f", "raw", ...[...commands, ...more].flatMap((c) => ["-c", c]), uri);
    assert.doesNotMatch(output, /fail|error/i);
    const wrong = await run("qemu-io", "-f", "raw", "-c", "read -P 0xcd 0 4k", uri).catch(
      (error: { stdout?: string }) => error.stdout ?? "",
    );
    assert.match(wrong, /Pattern verification failed/, "a wrong pattern is noticed");
  }
});

test("nbdinfo sees what the server offers", async (t) => {
  if (!has(t, "nbdinfo")) return;
  for (const { uri } of await servers(t)) {
    const info = JSON.parse(await run("nbdinfo", "--json", uri)) as { exports: Record<string, unknown>[] };
    const [disk] = info.exports;
    assert.equal(disk?.["export-size"], 64 * MiB);
    for (const ability of [
      "can_cache",
      "can_df",
      "can_fast_zero",
      "can_flush",
      "can_fua",
      "can_multi_conn",
      "can_trim",
      "can_zero",
    ]) {
      assert.equal(disk[ability], true, ability);
    }
    assert.equal(disk["block_size_maximum"], 32 * MiB);
    assert.match(await run("nbdinfo", "--list", uri), /disk one/);
  }
});

test("nbdcopy copies an image in and out", async (t) => {
  if (!has(t, "nbdcopy")) return;
  const folder = scratchFolder(t);
  const image = pattern(64 * MiB);
  image.fill(0, 8 * MiB, 16 * MiB);
  writeFileSync(join(folder, "in"), image);
  for (const { device, uri } of await servers(t)) {
    device.bytes.fill(0xee);
    await run("nbdcopy", "--flush", join(folder, "in"), uri);
    assert.ok(image.equals(device.bytes), "the device has the image");
    await run("nbdcopy", uri, join(folder, "out"));
    assert.ok(image.equals(readFileSync(join(folder, "out"))), "and gives it back");
  }
});

test("fio verifies random reads and writes at depth 32", async (t) => {
  if (!has(t, "fio")) return;
  const [first] = await servers(t);
  const sizes = ["--rw=randrw", "--bsrange=512-128k", "--bs_unaligned", "--iodepth=32", "--size=32m"];
  const verify = ["--verify=crc32c", "--verify_backlog=256", "--verify_fatal=1", "--randseed=5"];
  const args = ["--name=v", "--ioengine=nbd", `--uri=${first?.uri ?? ""}`, ...sizes, ...verify];
  try {
    const output = await execute("fio", args, { timeout: 60_000, cwd: scratchFolder(t) });
    assert.match(output.stdout, /err= 0/);
  } catch (error) {
    const text = String((error as { stderr?: string }).stderr) + String((error as { stdout?: string }).stdout);
    if (/engine nbd not loadable|failed to load engine/.test(text)) return t.skip("fio here has no nbd engine");
    throw error;
  }
});
