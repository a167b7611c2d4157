/**
 * Counters of a server, shared by its connections.
 *
 * Invariants: all only grow, except `connections` and `inFlight`, which go back to 0 when everybody left.
 *
 * See also: server.ts (stats()), transmission.ts, connection.ts (who counts).
 */
import { type CommandName, commandNames } from "./protocol.js";

export interface NbdStats {
  /** Open now, and accepted, turned away at the limit, ended by us because of an error, ever. */
  readonly connections: number;
  readonly accepted: number;
  readonly turnedAway: number;
  readonly broken: number;
  /** Of those, not let in by TLS; and ended because they did not go on in time (the idle ones are in here only). */
  readonly refused: number;
  readonly timedOut: number;
  /** Requests received, by command, refused ones included; unknown commands apart. */
  readonly requests: Readonly<Record<CommandName | "unknown", number>>;
  /** Data of successful reads, writes. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Replies that told an error. */
  readonly errors: number;
  /** Requests that wait for the device or for buffers. */
  readonly inFlight: number;
  /** Held now for payloads in receipt, and for read replies. */
  readonly receiveBytes: number;
  readonly replyBytes: number;
}

export class Counters {
  connections = 0;
  accepted = 0;
  turnedAway = 0;
  broken = 0;
  refused = 0;
  timedOut = 0;
  bytesRead = 0;
  bytesWritten = 0;
  errors = 0;
  inFlight = 0;
  /** By the command's number; the last one counts unknown commands. */
  readonly requests: number[] = new Array<number>(commandNames.length + 1).fill(0);

  countRequest(type: number): void {
    const index = type < commandNames.length ? type : commandNames.length;
    this.requests[index] = (this.requests[index] ?? 0) + 1;
  }

  snapshot(receiveBytes: number, replyBytes: number): NbdStats {
    const requests = { unknown: this.requests[commandNames.length] ?? 0 } as Record<CommandName | "unknown", number>;
    commandNames.forEach((name, type) => {
      requests[name] = this.requests[type] ?? 0;
    });
    const { connections, accepted, turnedAway, broken, refused, timedOut, bytesRead, bytesWritten, errors, inFlight } =
      this;
    return {
      connections,
      accepted,
      turnedAway,
      broken,
      refused,
      timedOut,
      requests,
      bytesRead,
      bytesWritten,
      errors,
      inFlight,
      receiveBytes,
      replyBytes,
    };
  }
}
