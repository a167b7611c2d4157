/**
 * The pin protocols: what get and put do to a page once it is locked, loaded and (for writing) granted and dirty.
 *
 * | name | get | put |
 * | --- | --- | --- |
 * | locked | keeps the page lock, exclusive for writing, shared for reading | lets it go |
 * | counted | turns the lock into a count in the page word | takes one off the count |
 *
 * Invariant: under both, a write pin's page is dirty with its grant from get to put, and nothing clears that: write-back waits
 * for the lock, or writes a snapshot and leaves the page dirty (rule 4).
 *
 * A third one, `reference` (get takes a bare reference, put drops it: the first step of 2009), is the explorer's alone and stands in
 * explore/: it shows what is open without the other two.
 */
import type { AddressSpace } from "../cache/space.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";
import { cleanIfUnmodified } from "./grant.js";

export interface HeldPage {
  readonly space: AddressSpace;
  readonly frame: number;
  readonly index: number;
}

export interface PutHow {
  readonly write: boolean;
  /** Bytes were changed, or may have been. */
  readonly modified: boolean;
  /** The page may go back to clean if rule 4 allows it (putUnmodified). */
  readonly mayClean: boolean;
}

export interface PinProtocol {
  readonly name: "locked" | "counted" | "reference";
  /** The caller has the page locked (`write`: exclusively). False: the page has as many pins of this kind as it can have. */
  take(core: Core, frame: number, write: boolean): boolean;
  put(core: Core, page: HeldPage, how: PutHow): void;
}

export interface PinProtocols {
  readonly locked: PinProtocol;
  readonly counted: PinProtocol;
}

const locked: PinProtocol = {
  name: "locked",
  take: () => true,
  put(core, page, how) {
    if (!how.write) {
      core.locks.unlockShared(page.frame);
      return;
    }
    if (how.mayClean && !how.modified) cleanIfUnmodified(core, page.space, page.frame, page.index);
    core.locks.unlockExclusive(page.frame, how.modified);
  },
};

const counted: PinProtocol = {
  name: "counted",
  take: (core, frame, write) => (write ? core.locks.exclusiveToCounted(frame) : core.locks.sharedToCounted(frame)),
  put(core, page, how) {
    if (!how.write) core.locks.putCountedRead(page.frame);
    else if (!how.mayClean || !putClean(core, page)) core.locks.putCountedWrite(page.frame, how.modified);
  },
};

/** An unmodified counted write pin, where the page's lock is free: put under the lock, and made clean if it was the last. */
function putClean(core: Core, { space, frame, index }: HeldPage): boolean {
  if (core.locks.tryExclusive(frame, space.id, index) !== layout.OK) return false;
  core.locks.putCountedWrite(frame, false);
  cleanIfUnmodified(core, space, frame, index);
  core.locks.unlockExclusive(frame, false);
  return true;
}

export const pinProtocols: PinProtocols = { locked, counted };
