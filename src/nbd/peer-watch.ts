/**
 * Notices a peer that does not go on: half a request, replies that are not read, or nothing at all for a long time.
 *
 * Invariants: says nothing about waits that are ours (a device, buffers). Whoever sends or reads slowly but steadily is left alone: at least
 * nbdStallBytesMin of a payload, or one write of replies (nbdSocketWriteBytesMax at most), in each time-out. Notices at the second
 * look at the earliest.
 *
 * See also: connection.ts (the user), server.ts (who calls check() in time), byte-budget.ts (shorter, while others wait for buffers).
 */
import { limits } from "../base/limits.js";

/** Each a number that changes when the peer goes on, or undefined where nothing is waited for. */
export interface PeerProgress {
  readonly halfRequest: number | undefined;
  readonly unreadReply: number | undefined;
  readonly idle: number | undefined;
}

export type PeerComplaint = "the rest of a request" | "the reading of replies" | "idle";

class StandStill {
  #value: number | undefined;
  #sinceMs = 0;

  /** How long `value` has been the same, in milliseconds. */
  lastedMs(value: number | undefined, nowMs: number): number {
    if (value !== this.#value) {
      this.#value = value;
      this.#sinceMs = nowMs;
    }
    return value === undefined ? 0 : nowMs - this.#sinceMs;
  }
}

export class PeerWatch {
  readonly #idleMs: number | undefined;
  readonly #halfRequest = new StandStill();
  readonly #unreadReply = new StandStill();
  readonly #idle = new StandStill();

  constructor(idleMs: number | undefined) {
    this.#idleMs = idleMs;
  }

  /** What the peer has not gone on with for too long. */
  check(progress: PeerProgress, nowMs: number): PeerComplaint | undefined {
    const halfMs = this.#halfRequest.lastedMs(progress.halfRequest, nowMs);
    const unreadMs = this.#unreadReply.lastedMs(progress.unreadReply, nowMs);
    const idleMs = this.#idle.lastedMs(progress.idle, nowMs);
    if (halfMs >= limits.nbdHalfRequestMs) return "the rest of a request";
    if (unreadMs >= limits.nbdUnreadReplyMs) return "the reading of replies";
    if (this.#idleMs !== undefined && idleMs >= this.#idleMs) return "idle";
    return undefined;
  }
}

/** How often to look, in milliseconds. */
export function watchPeriodMs(idleMs: number | undefined): number {
  return Math.min(limits.nbdWatchMs, (idleMs ?? Infinity) / 4);
}
