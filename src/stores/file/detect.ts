/**
 * What a file system can promise, by the type that statfs gives.
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
 * | block devices | every block is there | reserves; cannot grow or be cut |
 *
 * Conversion of unwritten extents rests on the file system's own reserve: practically safe, not a guarantee. A late ENOSPC
 * is fault F11. Snapshots below the file system (thin LVM, cloud disks that fill up) are seen by nobody here.
 *
 * Invariant: a type that is not in the table promises nothing.
 *
 * See also: reserve.ts, README.md.
 */
import { statfs } from "node:fs/promises";

/** How grants are made, and what is said about them. */
export interface Policy {
  readonly fileSystem: string;
  readonly reserves: "data" | "none";
  /** fallocate is worth calling at a grant. */
  readonly fallocates: boolean;
  readonly extents: "fiemap" | "seek";
  readonly punchesHoles: boolean;
  /** Files may share blocks (reflinks), so that overwriting takes space. */
  readonly shares: boolean;
}

const promises = { reserves: "data", fallocates: true, extents: "fiemap", punchesHoles: true, shares: false } as const;
const nothing = { reserves: "none", fallocates: false, extents: "fiemap", punchesHoles: false, shares: true } as const;

const policies = new Map<number, Policy>([
  [0xef53, { fileSystem: "ext4", ...promises }],
  [0x58465342, { fileSystem: "xfs", ...promises, shares: true }],
  [0x01021994, { fileSystem: "tmpfs", ...promises, extents: "seek" }],
  [0x9123683e, { fileSystem: "btrfs", ...nothing, punchesHoles: true }],
  [0xca451a4e, { fileSystem: "bcachefs", ...nothing, punchesHoles: true }],
  [0x2fc12fc1, { fileSystem: "zfs", ...nothing }],
  [0xf2f52010, { fileSystem: "f2fs", ...nothing, punchesHoles: true }],
  [0x794c7630, { fileSystem: "overlay", ...nothing, fallocates: true }],
  [0x6969, { fileSystem: "nfs", ...nothing }],
  [0xff534d42, { fileSystem: "cifs", ...nothing }],
  [0xfe534d42, { fileSystem: "smb2", ...nothing }],
  [0x65735546, { fileSystem: "fuse", ...nothing }],
  [0x01021997, { fileSystem: "9p", ...nothing }],
  [0x00c36400, { fileSystem: "ceph", ...nothing }],
]);

/** The policy for a type of statfs. */
export function policyOf(type: number): Policy {
  return policies.get(type >>> 0) ?? { fileSystem: `unknown (${(type >>> 0).toString(16)})`, ...nothing };
}

/** The policy for the file system that holds `path`. */
export async function detectPolicy(path: string): Promise<Policy> {
  if (process.platform !== "linux") return policyOf(0);
  return policyOf((await statfs(path)).type);
}

/** For block devices. */
export const devicePolicy: Policy = {
  fileSystem: "block device",
  reserves: "data",
  fallocates: false,
  extents: "fiemap",
  punchesHoles: false,
  shares: false,
};
