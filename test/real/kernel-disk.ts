/**
 * A server's disk as a block device of this machine, and a file system of the kernel on it: nbdfuse and a loop device, since the kernels
 * that tests run on have no nbd driver. Root only.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { missingForDisks } from "../stores/file/loop-device.js";
import { has, Program, run, type ServerProcess, type Undo } from "./server-process.js";

export interface Attached {
  readonly device: string;
  readonly detach: () => Promise<void>;
}

/** A block device of this machine that is the server's disk. */
export async function attach(undo: Undo, server: ServerProcess): Promise<Attached> {
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

export async function mounted(undo: Undo, device: string, work: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "pinfold-mount-"));
  undo.add(() => rmSync(directory, { recursive: true, force: true }));
  await run("mount", [device, directory]);
  undo.add(async () => {
    await run("umount", ["-q", directory]).catch(() => {});
  });
  await work(directory);
  await run("umount", [directory]);
}

export function missingTools(t: TestContext): boolean {
  const missing = missingForDisks("mkfs.ext4", "e2fsck");
  if (missing === null && existsSync("/dev/fuse")) return !has(t, "nbdfuse", "fusermount3", "diff");
  t.skip(missing ?? "no /dev/fuse");
  return true;
}
