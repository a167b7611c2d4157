/**
 * The contract suite with a limit of space, on small disks of their own: ext4, XFS, tmpfs. Root only.
 */
import { existsSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { after, it } from "node:test";
import { storeContract, type StoreOpenRequest } from "../../src/testing/index.js";
import { leaveFree, missingForDisks, openSmallDisk, type SmallDisk } from "../stores/file/loop-device.js";
import { fileOpener } from "./file-store-subject.js";

function limited(disk: SmallDisk, direct = false) {
  const open = fileOpener({ direct }, disk.directory);
  return async (request: StoreOpenRequest) => {
    rmSync(join(disk.directory, "ballast"), { force: true });
    const subject = await open(request);
    // A little more than the data: the file system's own records take from the same blocks.
    if (request.capacityBytes !== undefined) leaveFree(disk, request.capacityBytes + 65_536);
    return subject;
  };
}

const disks = [
  { name: "ext4", tools: ["mkfs.ext4"], mebibytes: 48, mkfs: ["mkfs.ext4", "-q", "-b", "4096", "-m", "0"] },
  {
    name: "ext4 with blocks of 1 KiB",
    tools: ["mkfs.ext4"],
    mebibytes: 48,
    mkfs: ["mkfs.ext4", "-q", "-b", "1024", "-m", "0"],
  },
  { name: "XFS", tools: ["mkfs.xfs"], mebibytes: 320, mkfs: ["mkfs.xfs", "-q"] },
];

for (const { name, tools, ...options } of disks) {
  const missing = missingForDisks("fallocate", ...tools);
  if (missing !== null) {
    it(`store contract: file on ${name}`, { skip: missing }, () => {});
    continue;
  }
  const disk = openSmallDisk(options);
  after(() => disk.close());
  const common = { limitsCapacity: true, usedSlackBytes: 65_536, seeds: [1, 2], randomSteps: 150 };
  storeContract({ name: `file on ${name}`, open: limited(disk), ...common });
  storeContract({
    name: `file on ${name}, direct, pages of 64 KiB`,
    open: limited(disk, true),
    pageSize: 65_536,
    ...common,
  });
}

const shm = "/dev/shm";
const onTmpfs = existsSync(shm) && statfsSync(shm).type === 0x01021994;
if (onTmpfs)
  storeContract({
    name: "file on tmpfs",
    open: fileOpener({}, shm),
    cancelGivesBack: false,
    seeds: [1, 2],
    randomSteps: 150,
  });
else it("store contract: file on tmpfs", { skip: "no tmpfs at /dev/shm" }, () => {});
