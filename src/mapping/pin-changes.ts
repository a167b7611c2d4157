/**
 * Changes of a pin that is held: upgrade, downgrade, flush, and what becomes of one that was lost.
 *
 * Invariant: whatever fails, the pin is afterwards what it was before.
 */
import { PinfoldError } from "../base/errors.js";
import type { AddressSpace } from "../cache/space.js";
import * as layout from "../sync/layout.js";
import type { DirtyPage } from "../writeback/dirty-set.js";
import type { Core } from "./core.js";
import { grantRun } from "./grant.js";
import { checkWritePins } from "./pin.js";
import type { PinRecord } from "./pin-registry.js";
import { ownerOf } from "./recovery-pages.js";

/**
 * A locked read pin becomes a write pin: it waits until it is the only holder of each page.
 * @throws PinfoldError EDEADLK for a second upgrader; EROFS, ENOSPC, EIO; the signal's reason. The pin is a read pin then.
 */
export async function upgradePin(core: Core, pin: PinRecord, signal: AbortSignal | undefined): Promise<void> {
  if (pin.write) return;
  if (pin.counted) throw new PinfoldError("EINVAL", "a long-term pin cannot be upgraded: it holds no lock");
  if (pin.space.readOnly) throw new PinfoldError("EROFS", `${pin.space.store.name} was opened read-only`);
  checkWritePins(core, 0);
  const upgraded: number[] = [];
  try {
    for (const [at, frame] of pin.frames.entries()) {
      const held = pin.scope?.held.get(frame);
      if (held?.exclusive) continue;
      await core.locks.acquire(frame, pin.space.id, pin.firstIndex + at, layout.MODE_UPGRADE, {
        signal,
        scope: pin.scope,
      });
      upgraded.push(frame);
      if (held) held.exclusive = true;
    }
    const range = { from: pin.position, to: pin.position + pin.length, extending: false };
    await grantRun(core, pin.space, { first: pin.firstIndex, frames: pin.frames }, range);
  } catch (error) {
    for (const frame of upgraded) {
      core.locks.downgrade(frame);
      const held = pin.scope?.held.get(frame);
      if (held) held.exclusive = false;
    }
    throw error;
  }
  core.pins.changeMode(pin, true);
}

/** A locked write pin becomes a read pin; what was written stays dirty. */
export function downgradePin(core: Core, pin: PinRecord): void {
  if (!pin.write) return;
  if (pin.counted) throw new PinfoldError("EINVAL", "a long-term pin cannot be downgraded: it holds no lock");
  for (const frame of pin.frames) {
    const held = pin.scope?.held.get(frame);
    if (held) held.modified = true;
    if (held && held.pins > 1) {
      core.frames.words.markModified(frame);
      continue;
    }
    core.locks.downgrade(frame, true);
    if (held) held.exclusive = false;
  }
  core.pins.changeMode(pin, false);
}

/**
 * The holder of a locked write pin lends its lock for write-back: the pages are written as they are now, and stay dirty.
 * @throws PinfoldError what the store says
 */
export async function flushPin(core: Core, pin: PinRecord, signal: AbortSignal | undefined): Promise<void> {
  if (!pin.write) throw new PinfoldError("EINVAL", "flush is for write pins");
  for (const [at, frame] of pin.frames.entries()) {
    const index = pin.firstIndex + at;
    if (pin.space.isRemote) await core.calls.ask(pin.space, { op: "flushPage", frame, index }, signal);
    else await flushPage(core, pin.space, { frame, index }, signal, core.frames.thread);
  }
}

/**
 * Writes a page that `holder`, a thread, has under a write pin. Nothing where it has that no more.
 * @throws PinfoldError what the store says; the signal's reason
 */
export async function flushPage(
  core: Core,
  space: AddressSpace,
  page: DirtyPage,
  signal: AbortSignal | undefined,
  holder: number,
): Promise<void> {
  const { words } = core.frames;
  const { frame, index } = page;
  for (;;) {
    signal?.throwIfAborted();
    const isPage = words.mappingIdOf(frame) === space.id && words.indexOf(frame) >>> 0 === index;
    const isPinned = ownerOf(core, frame) === holder || words.ledgerEntry(frame, holder) >>> 22 > 0;
    if (!isPage || !isPinned) return;
    const sent = core.writer.flushOwned(space, page);
    if (sent) {
      const [failure] = await sent;
      if (failure) throw failure.error;
      return;
    }
    await core.locks.waitForPool(() => core.writer.mayFlush(frame), signal);
  }
}

/** A pin that nobody can put any more becomes a counted one (rule 19): its bytes stay its own for ever. */
export function leakPin(core: Core, pin: PinRecord): void {
  if (!pin.counted) {
    for (const frame of pin.frames) {
      const held = pin.scope?.held.get(frame);
      if (held) held.pins -= 1;
      if (held && held.pins > 0) continue;
      pin.scope?.drop(frame);
      if (held?.exclusive ?? pin.write) core.locks.exclusiveToCounted(frame);
      else core.locks.sharedToCounted(frame);
    }
  }
  core.pins.noteLeaked(pin);
}
