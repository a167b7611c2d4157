/**
 * Taking pages away from mapped views before a cut, a punch, an extension or a close changes or removes them.
 *
 * The caller owns the pages' exclusive locks: nobody opens them to stores again. What is waited for is a store that has passed
 * its look: a few instructions of a thread that holds nothing and waits for nothing, so that this may be done under any lock.
 *
 * See also: frames/views.ts, view-fault.ts.
 */
import { PinfoldError } from "../base/errors.js";
import type { Resident } from "../cache/page-table.js";
import type { AddressSpace } from "../cache/space.js";
import type { Core } from "./core.js";

const framesOf = (pages: readonly Resident[]) => pages.map(({ frame }) => frame);

/** Ends stores to these pages: none is on its way when this resolves. */
export async function closeViews(core: Core, pages: readonly Resident[]): Promise<void> {
  await core.views.close(framesOf(pages));
}

/** As closeViews, now. False where a store is on its way. */
export function tryCloseViews(core: Core, pages: readonly Resident[]): boolean {
  return core.views.tryClose(framesOf(pages)).length === 0;
}

/** As closeViews, blocking. @throws PinfoldError EDEADLK where a thread was stopped in the midst of a store */
export function closeViewsBlocking(core: Core, space: AddressSpace, pages: readonly Resident[]): void {
  if (!core.views.closeBlocking(framesOf(pages), () => core.lookForDead()))
    throw new PinfoldError("EDEADLK", `a thread was stopped in the midst of a store to ${space.store.name}`);
}

/** Views have to look these pages up again, for loads too: what they may touch of them has changed. Stores were ended. */
export function ageViews(core: Core, pages: readonly Resident[]): void {
  for (const { frame } of pages) core.frames.words.ageView(frame);
}
