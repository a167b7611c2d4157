/**
 * Small file systems of their own on loop devices, for tests of full disks, reflinks and failing disks. Root only.
 *
 * Invariant: what was mounted or attached is taken down again: by close(), and at the latest when the process ends.
 */
import { execFileSync } from "node:child_process";
import { closeSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface SmallDisk {
  /** Where it is mounted. */
  readonly directory: string;
  readonly freeBytes: () => number;
  /** Unmounts and mounts again, as after a restart. */
  readonly remount: () => void;
  /** Unmounts, runs a program on the device (which has to like what it sees), and mounts again. @throws Error with its output */
  readonly examine: (program: string, ...args: string[]) => void;
  readonly close: () => void;
}

export interface SmallDiskOptions {
  mebibytes: number;
  /** For example ["mkfs.ext4", "-q"]; the device is added. */
  mkfs: readonly string[];
  /** Options of mount, for example "prjquota". */
  mountOptions?: string;
  /** Put the image on a tmpfs of so many MiB: writes fail when that is full. */
  backingMebibytes?: number;
}

/** Why there can be no small disk here, or null. */
export function missingForDisks(...tools: string[]): string | null {
  if (process.getuid?.() !== 0) return "not root: cannot mount a loop device";
  for (const tool of ["losetup", "mount", "umount", ...tools]) {
    try {
      execFileSync("sh", ["-c", `command -v ${tool}`], { stdio: "ignore" });
    } catch {
      return `${tool} is not installed`;
    }
  }
  try {
    run("losetup", "-f");
  } catch {
    return "no loop device can be had here";
  }
  return null;
}

export function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
}

/** Also while a failed test still has files open: then the kernel finishes when they are closed. */
function unmount(directory: string): void {
  try {
    run("umount", directory);
  } catch {
    run("umount", "-l", directory);
  }
}

export function openSmallDisk(options: SmallDiskOptions): SmallDisk {
  const base = mkdtempSync(join(tmpdir(), "pinfold-disk-"));
  const undo: (() => void)[] = [() => rmSync(base, { recursive: true, force: true })];
  const close = (): void => {
    process.removeListener("exit", close);
    for (const step of undo.splice(0).reverse()) {
      try {
        step();
      } catch (error) {
        console.error(`left behind: ${String(error)}`);
      }
    }
  };
  process.on("exit", close);
  try {
    const backing = join(base, "backing");
    mkdirSync(backing);
    if (options.backingMebibytes !== undefined) {
      run("mount", "-t", "tmpfs", "-o", `size=${options.backingMebibytes}m`, "tmpfs", backing);
      undo.push(() => unmount(backing));
    }
    const image = join(backing, "image");
    const fd = openSync(image, "w");
    ftruncateSync(fd, options.mebibytes * 1024 * 1024);
    closeSync(fd);
    const device = run("losetup", "-f", "--show", image);
    undo.push(() => run("losetup", "-d", device));
    const [mkfs, ...args] = options.mkfs;
    run(mkfs as string, ...args, device);
    const directory = join(base, "mounted");
    mkdirSync(directory);
    const how = options.mountOptions === undefined ? [] : ["-o", options.mountOptions];
    const mount = (): string => run("mount", ...how, device, directory);
    mount();
    undo.push(() => unmount(directory));
    const freeBytes = (): number => {
      const { bavail, bsize } = statfsSync(directory);
      return bavail * bsize;
    };
    const remount = (): void => {
      run("umount", directory);
      mount();
    };
    const examine = (program: string, ...given: string[]): void => {
      run("umount", directory);
      try {
        run(program, ...given, device);
      } catch (error) {
        const { stdout, stderr } = error as { stdout?: string; stderr?: string };
        throw new Error(`${program} finds faults: ${stdout ?? ""} ${stderr ?? ""}`, { cause: error });
      } finally {
        mount();
      }
    };
    return { directory, freeBytes, remount, examine, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Fills a disk with a file of its own until about `bytes` are left. */
export function leaveFree(disk: SmallDisk, bytes: number, name = "ballast"): void {
  const path = join(disk.directory, name);
  rmSync(path, { force: true });
  run("sync", "-f", disk.directory);
  for (let round = 0, taken = 0; round < 8; round++) {
    const excess = disk.freeBytes() - bytes;
    if (excess < 4096) return;
    taken += Math.floor(excess / 4096) * 4096;
    try {
      run("fallocate", "-l", String(taken), path);
    } catch {
      // The last few blocks went to the file system's own records; the next round sees what is left.
      run("sync", "-f", disk.directory);
      taken -= 64 * 1024;
    }
  }
}

/** Takes every block that can be had, in ever smaller pieces. */
export function fillUp(disk: SmallDisk, name = "ballast"): void {
  leaveFree(disk, 0, name);
  for (let bytes = 1024 * 1024, piece = 0; bytes >= 4096; ) {
    try {
      run("fallocate", "-l", String(bytes), join(disk.directory, `${name}-${piece}`));
      piece++;
    } catch {
      bytes /= 2;
    }
    if (piece > 1000) throw new Error("the disk does not fill up");
  }
}
