/** A kernel's ext4 on the disk, through nbdfuse and a loop device. Root only. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { scratchFolder } from "../nbd/fixture.js";
import { attach, missingTools, mounted } from "./kernel-disk.js";
import { pathOf, run, startServing, Undo } from "./server-process.js";

test("a tree copied to an ext4 on the disk is whole: e2fsck is content, and after a restart every file is the same", async (t) => {
  if (missingTools(t)) return;
  const undo = new Undo(t);
  const folder = scratchFolder(t);
  const disk = join(folder, "disk");
  const tree = ["/usr/share/perl", "/usr/share/vim", "/usr/include"].find((path) => existsSync(path));
  if (tree === undefined) return t.skip("no tree to copy: no /usr/include");
  const source = join(folder, "source");
  mkdirSync(source);
  await run("sh", [
    "-c",
    'find "$1" -type f | LC_ALL=C sort | head -n 2500 | xargs cp --parents -t "$2"',
    "sh",
    tree,
    source,
  ]);

  const first = await startServing(t, undo, [disk], { size: "256MiB", memory: "16MiB" });
  const one = await attach(undo, first);
  await run("mkfs.ext4", ["-q", one.device]);
  await mounted(undo, one.device, async (directory) => {
    await run("cp", ["-a", source, join(directory, "copy")]);
    await run("cp", ["-a", source, join(directory, "gone")]);
    await run("rm", ["-r", join(directory, "gone")]);
    // The free space comes back as TRIM requests.
    if (pathOf("fstrim") !== undefined) await run("fstrim", [directory]).catch(() => {});
  });
  await run("e2fsck", ["-fn", one.device]);
  await one.detach();
  assert.deepEqual(await first.end(), { code: 0, signal: null }, first.stderr);

  const second = await startServing(t, undo, [disk], { memory: "8MiB", pageSize: 65_536 });
  const two = await attach(undo, second);
  await run("e2fsck", ["-fn", two.device]);
  await mounted(undo, two.device, async (directory) => {
    await run("diff", ["-r", source, join(directory, "copy")]);
  });
  await two.detach();
  assert.deepEqual(await second.end(), { code: 0, signal: null }, second.stderr);
});
