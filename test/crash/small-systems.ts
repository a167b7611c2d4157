/** The small file systems that rounds run on: how each is made, what the store says of it, and what looks at it afterwards. */
import { mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { missingForDisks, openSmallDisk, run } from "../stores/file/loop-device.js";
import type { FullDisk } from "./full-rounds.js";

export interface SmallSystem {
  readonly name: string;
  readonly reserves: "data" | "none";
  readonly direct: boolean;
  /** Why it cannot be had here, or null. */
  readonly missing: () => string | null;
  readonly open: () => FullDisk & { close: () => void };
}

function onLoop(
  name: string,
  reserves: "data" | "none",
  mebibytes: number,
  mkfs: readonly string[],
  examine: readonly [string, ...string[]],
): SmallSystem {
  return {
    name,
    reserves,
    direct: true,
    missing: () => missingForDisks(mkfs[0] as string, examine[0], "fallocate"),
    open: () => {
      const disk = openSmallDisk({ mebibytes, mkfs });
      const { directory, freeBytes, close } = disk;
      return { directory, freeBytes, close, examine: () => disk.examine(...examine) };
    },
  };
}

const tmpfs: SmallSystem = {
  name: "tmpfs",
  reserves: "data",
  direct: false,
  missing: () => missingForDisks("fallocate"),
  open: () => {
    const directory = mkdtempSync(join(tmpdir(), "pinfold-tmpfs-"));
    run("mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", directory);
    const freeBytes = (): number => {
      const { bavail, bsize } = statfsSync(directory);
      return bavail * bsize;
    };
    let isOpen = true;
    const close = (): void => {
      if (!isOpen) return;
      isOpen = false;
      process.removeListener("exit", close);
      run("umount", "-l", directory);
      rmSync(directory, { recursive: true });
    };
    process.on("exit", close);
    return { directory, freeBytes, close, examine: () => {} };
  },
};

export const smallSystems: readonly SmallSystem[] = [
  onLoop("ext4", "data", 24, ["mkfs.ext4", "-q", "-b", "4096", "-m", "0"], ["e2fsck", "-fn"]),
  onLoop("xfs", "data", 320, ["mkfs.xfs", "-q"], ["xfs_repair", "-n"]),
  onLoop("btrfs", "none", 128, ["mkfs.btrfs", "-q"], ["btrfs", "check", "--readonly"]),
  tmpfs,
];
