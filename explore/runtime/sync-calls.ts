/**
 * The modelled storage's calls that block: each is one operation, which ends before anybody else goes on. For scenarios with mapped
 * views, whose faults block their thread.
 *
 * See also: disk.ts (requests that end some time later).
 */
import type { MkwriteRequest } from "../../src/store/contract.js";
import type { Disk, ModelStore } from "./disk.js";
import { hashOfBytes, hashOfNumbers } from "./hash.js";

/** The same store, with calls that block. */
export function withSyncCalls(store: ModelStore, disk: Disk): ModelStore {
  const { medium } = disk;
  const calls = {
    capabilities: { ...store.capabilities, syncCalls: true },
    readPagesSync: (position: number, buffers: readonly Uint8Array[]) =>
      disk.touch(
        `read ${position} at once`,
        () => {
          medium.read(position, buffers);
          return hashOfBytes(buffers);
        },
        "shared",
      ),
    pageMkwriteSync: (request: MkwriteRequest) =>
      disk.touch(
        `pageMkwrite ${request.position} at once`,
        () => {
          if (!medium.grant(request)) throw disk.error("ENOSPC", "no space");
          return hashOfNumbers(request.blocks);
        },
        "shared",
      ),
    writePagesSync: (position: number, buffers: readonly Uint8Array[]) =>
      disk.touch(
        `write ${position} at once`,
        () => {
          disk.look(buffers);
          medium.write(position, buffers);
        },
        "shared",
      ),
    syncSync: () => disk.touch("sync at once", () => medium.noteDurable(medium.image())),
  };
  return Object.assign(store, calls);
}
