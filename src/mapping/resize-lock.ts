/**
 * The resize mutex of a file: who changes its size, or punches it, holds it.
 *
 * Order (rule 13): resize mutex, page locks, invalidate lock. So whoever already holds pages of the file only tries it.
 */
import { PinfoldError } from "../base/errors.js";
import type { AddressSpace } from "../cache/space.js";
import type { WaitOwner } from "../frames/wait-queues.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";
import { checkOpen } from "./fault.js";

/**
 * Runs `work` under the resize mutex.
 * @throws PinfoldError EBADF; EDEADLK where the scope holds pages of the file and the mutex is taken; the signal's reason
 */
export async function withResizeLock<T>(
  core: Core,
  space: AddressSpace,
  owner: WaitOwner,
  work: () => Promise<T>,
): Promise<T> {
  const lock = space.resizeLock;
  if (owner.scope && holdsPagesOf(core, space, owner.scope.held.keys())) {
    if (core.locks.tryExclusive(lock, space.id, layout.LOCK_RESIZE) !== layout.OK) {
      throw new PinfoldError("EDEADLK", `${space.store.name} is being resized, and the caller holds pages of it`);
    }
  } else {
    await core.locks.acquire(lock, space.id, layout.LOCK_RESIZE, layout.MODE_EXCLUSIVE, owner);
  }
  try {
    // Another thread may have closed the file while the mutex was waited for.
    checkOpen(space);
    return await work();
  } finally {
    core.locks.unlockExclusive(lock);
  }
}

function holdsPagesOf(core: Core, space: AddressSpace, held: Iterable<number>): boolean {
  for (const frame of held) if (core.frames.words.mappingIdOf(frame) === space.id) return true;
  return false;
}

/** Runs `work` under the invalidate lock, exclusively: no load, grant or write-back of the file is on its way then. */
export async function withInvalidateLock<T>(
  core: Core,
  space: AddressSpace,
  owner: WaitOwner,
  work: () => Promise<T>,
): Promise<T> {
  const lock = space.invalidateLock;
  await core.locks.acquire(lock, space.id, layout.LOCK_INVALIDATE, layout.MODE_EXCLUSIVE, owner);
  try {
    return await work();
  } finally {
    core.locks.unlockExclusive(lock);
  }
}
