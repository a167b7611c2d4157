/**
 * What calls that block their thread are told where they would never end, with the holders that this thread knows.
 */
import { PinfoldError } from "../base/errors.js";
import type { AddressSpace } from "../cache/space.js";
import { type BlockingOwner, explain } from "../frames/blocked-waits.js";
import type { Blockage } from "../frames/circles.js";
import type { Scope } from "../frames/scopes.js";
import type { Core } from "./core.js";
import { describeHolders, describeHolds, foreignHolds } from "./holders.js";

const own: Blockage = { kind: "own", threads: [] };

/** EDEADLK of a blocking call that needs pages [first, last], or something of the file that whoever has these may hold. */
export function wouldWait(
  core: Core,
  space: AddressSpace,
  first: number,
  last: number,
  blockage: Blockage = own,
): PinfoldError {
  const pins = core.pins.holders(space, first, last);
  const foreign = foreignHolds(core, space, first, last);
  // Where nobody has the pages themselves, it is a frame that is missing, and any pin may have it.
  const holders = pins.length + foreign.length > 0 ? describeHolds(core, pins, foreign) : describeHolders(core);
  return new PinfoldError("EDEADLK", `a blocking call on ${space.store.name} ${explain(blockage)}: ${holders}`);
}

/** Who waits, blocking, for pages [first, last] or for a lock of their file. */
export function blockingOwner(
  core: Core,
  space: AddressSpace,
  first: number,
  last: number,
  scope?: Scope,
): BlockingOwner {
  return { scope, describe: (blockage) => wouldWait(core, space, first, last, blockage) };
}
