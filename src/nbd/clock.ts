/**
 * The seam for time: everything in src/nbd that waits for time or for a later turn of the event loop goes through it,
 * so that tests can drive it.
 *
 * See also: base/clock.ts; byte-budget.ts, commands.ts, connection.ts, server.ts (users).
 */
import { type Clock, nextTurn, systemClock } from "../base/clock.js";

export interface NbdClock extends Clock {
  /** Calls `run` after other connections had a turn. */
  nextTurn(run: () => void): void;
}

export const systemNbdClock: NbdClock = { ...systemClock, nextTurn };
