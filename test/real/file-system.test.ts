/** A kernel's ext4 on the disk, through nbdfuse and a loop device. Root only. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { scratchFolder } from "../nbd/fixture.js";
import { missingForDisks } from "../stores/file/loop-device.js";
import { has, pathOf, Program, run, type ServerProcess, startServing, Undo } from "./server-process.js";

interface Attached {
  readonly device: string;
  readonly detach: () => Promise<void>;
}

/** A block device of this machine that is the server's disk. */
async function attach(undo: Undo, server: ServerProcess): Promise<Attached> {
  const folder = mkdtempSync(join(tmpdir(), "pinfold-fuse-"));
  undo.add(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "disk");
  execFileSync("touch", [file]);
  const fuse = new Program(undo, "nbdfuse", [file, server.uri()]);
  const unmountFuse = async (): Promise<void> => {
    await run("fusermount3", ["-u", file]).catch(() => run("umount", ["-l", file]).catch(() => {}));
    await fuse.ended.catch(() => {});
  };
  undo.add(unmountFuse);
  for (let tries = 0; statSync(file).size === 0; tries++) {
    if (tries > 500 || !fuse.running) throw new Error(`nbdfuse does not come up: ${fuse.stderr}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const device = (await run("losetup", ["-f", "--show", file])).trim();
  let attached = true;
  const detachLoop = async (): Promise<void> => {
    if (!attached) return;
    await run("losetup", ["-d", device]);
    attached = false;
  };
  undo.add(detachLoop);
  const detach = async (): Promise<void> => {
    await detachLoop();
    await unmountFuse();
  };
  return { device, detach };
}

async function mounted(undo: Undo, device: string, work: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "pinfold-mount-"));
  undo.add(() => rmSync(directory, { recursive: true, force: true }));
  await run("mount", [device, directory]);
  undo.add(async () => {
    await run("umount", ["-q", directory]).catch(() => {});
  });
  await work(directory);
  await run("umount", [directory]);
}

function missingTools(t: TestContext): boolean {
  const missing = missingForDisks("mkfs.ext4", "e2fsck");
  if (missing === null && existsSync("/dev/fuse")) return !has(t, "nbdfuse", "fusermount3", "diff");
  t.skip(missing ?? "no /dev/fuse");
  return true;
}

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
