/**
 * What storage can promise: by the type of the file system that statfs gives, by the file's own flags, by the kind of block device.
 *
 * | file system | fallocate makes later writes safe? | so |
 * | --- | --- | --- |
 * | ext4 (ext2, ext3) | yes; unwritten space is converted from a reserve of the file system's. No fallocate on ext2, ext3: zeros are written instead | reserves, punches |
 * | XFS | yes; reflinked extents are unshared at the grant | reserves, punches |
 * | tmpfs | yes, in memory and within the mount's size; no FIEMAP, so that a cancel keeps the space | reserves, punches |
 * | btrfs, bcachefs, ZFS | no: a write may go to a new place whatever was allocated | "none" |
 * | F2FS | no: log-structured | "none" |
 * | overlay | unknown: depends on what is below; fallocate is passed on, so that it helps without being promised | "none", tries |
 * | NFS, SMB, FUSE, 9p, Ceph, others | unknown | "none" |
 * | a compressed file, an XFS realtime one | no: the next write may need more blocks, or other ones | "none", tries |
 * | block devices | every block is there | reserves; cannot grow or be cut |
 * | loop, device mapper, zram, nbd, SCSI disks that say they are thin | not known: what is below may be sparse | "none" |
 *
 * Conversion of unwritten extents rests on the file system's own reserve: practically safe, not a guarantee. A late ENOSPC
 * is fault F11. What lies below a file system (thin LVM, cloud disks that fill up) is seen by nobody here.
 *
 * Invariants: a type that is not in the table promises nothing; "none" comes with its reason, in words for people.
 *
 * See also: reserve.ts, README.md, docs/stores.md.
 */
import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Libc } from "./libc.js";

/** How grants are made, and what is said about them. */
export interface Policy {
  readonly fileSystem: string;
  readonly reserves: "data" | "none";
  /** Why nothing is reserved; undefined where it is. */
  readonly reason?: string;
  /** fallocate is worth calling at a grant. */
  readonly fallocates: boolean;
  readonly extents: "fiemap" | "seek";
  readonly punchesHoles: boolean;
  /** Files may share blocks (reflinks), so that overwriting takes space. */
  readonly shares: boolean;
}

const promises = { reserves: "data", fallocates: true, extents: "fiemap", punchesHoles: true, shares: false } as const;
const nothing = { reserves: "none", fallocates: false, extents: "fiemap", punchesHoles: false, shares: true } as const;

const copies = "writes every change to a new place, so that a full disk can refuse it late";
const remote = "does not say whether another system keeps the space";

const policies = new Map<number, Policy>([
  [0xef53, { fileSystem: "ext4", ...promises }],
  [0x58465342, { fileSystem: "xfs", ...promises, shares: true }],
  [0x01021994, { fileSystem: "tmpfs", ...promises, extents: "seek" }],
  [0x9123683e, { fileSystem: "btrfs", ...nothing, punchesHoles: true, reason: copies }],
  [0xca451a4e, { fileSystem: "bcachefs", ...nothing, punchesHoles: true, reason: copies }],
  [0x2fc12fc1, { fileSystem: "zfs", ...nothing, reason: copies }],
  [0xf2f52010, { fileSystem: "f2fs", ...nothing, punchesHoles: true, reason: copies }],
  [0x3434, { fileSystem: "nilfs2", ...nothing, reason: copies }],
  [0x794c7630, { fileSystem: "overlay", ...nothing, fallocates: true, reason: "does not say what it lies on" }],
  [0x6969, { fileSystem: "nfs", ...nothing, reason: remote }],
  [0xff534d42, { fileSystem: "cifs", ...nothing, reason: remote }],
  [0xfe534d42, { fileSystem: "smb2", ...nothing, reason: remote }],
  [0x65735546, { fileSystem: "fuse", ...nothing, reason: remote }],
  [0x01021997, { fileSystem: "9p", ...nothing, reason: remote }],
  [0x00c36400, { fileSystem: "ceph", ...nothing, reason: remote }],
]);

/** The policy for a type of statfs. */
export function policyOf(type: number): Policy {
  const fileSystem = `a file system of type ${(type >>> 0).toString(16)}`;
  return policies.get(type >>> 0) ?? { fileSystem, ...nothing, reason: "is not known here" };
}

/** The policy for an open file. `path`: the way to it through its descriptor, where there is one. */
export async function detectPolicy(path: string, fd: number, libc: Libc | null): Promise<Policy> {
  if (process.platform !== "linux") return { ...policyOf(0), fileSystem: process.platform };
  const policy = policyOf((await statfs(path)).type);
  return libc === null ? policy : narrowed(policy, libc.fileFlags(fd));
}

/** Bits of the flags that FS_IOC_FSGETXATTR and FS_IOC_GETFLAGS give. */
export interface FileFlags {
  /** Written compressed: how many blocks a write takes shows when it is written back. */
  readonly isCompressed: boolean;
  /** XFS, on its realtime part, which may be zoned: then nothing is overwritten in place, and nothing can be reserved. */
  readonly isRealtime: boolean;
}

/** What is left of a file system's promise for a file with these flags. */
export function narrowed(policy: Policy, { isCompressed, isRealtime }: FileFlags): Policy {
  if (policy.reserves === "none" || !(isCompressed || isRealtime)) return policy;
  const reason = isCompressed ? "keeps this file compressed" : "keeps this file in its realtime part";
  return { ...policy, reserves: "none", reason };
}

const device: Policy = {
  fileSystem: "block device",
  reserves: "data",
  fallocates: false,
  extents: "fiemap",
  punchesHoles: false,
  shares: false,
};
const thinDevices = /^(loop|dm-|zram|nbd|rbd)/;

/** The policy for a block device. `numbers`: "major:minor"; `sysfs`: where the kernel tells of devices. */
export function policyOfDevice(numbers: string, sysfs = "/sys"): Policy {
  const link = join(sysfs, "dev/block", numbers);
  if (!existsSync(link)) return { ...device, reserves: "none", reason: "is not described by the system" };
  const place = realpathSync(link);
  // A partition lies in its disk's folder.
  const disk = existsSync(join(place, "partition")) ? join(place, "..") : place;
  const isThin = thinDevices.test(basename(disk)) || saysThin(join(disk, "device/scsi_disk"));
  return isThin ? { ...device, reserves: "none", reason: "may have fewer blocks below it than it shows" } : device;
}

function saysThin(folder: string): boolean {
  if (!existsSync(folder)) return false;
  return readdirSync(folder).some((name) => {
    const path = join(folder, name, "thin_provisioning");
    return existsSync(path) && readFileSync(path, "latin1").trim() === "1";
  });
}
