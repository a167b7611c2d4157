/**
 * What a simulated user does with a file, one task after the other. Plain data: made from a seed (script.ts), done by hand.ts.
 *
 * Positions and lengths are bytes; the file has at most `fileBytesMax`.
 */
export const fileBytesMax = 128;

interface Common {
  /** Milliseconds of the simulated clock after which the task is aborted. */
  readonly abortAfterMs?: number | undefined;
}

interface Ranged extends Common {
  readonly position: number;
  readonly length: number;
}

/** A pin to write; `value` is put into all its bytes. */
interface PinToWrite extends Ranged {
  readonly kind: "pin to write";
  readonly value: number;
  readonly longterm: boolean;
  /** It is put without a change. */
  readonly isUnused: boolean;
  /** Milliseconds between its first byte and the others. */
  readonly holdMs: number;
}

interface PinToRead extends Ranged {
  readonly kind: "pin to read";
  readonly longterm: boolean;
  readonly holdMs: number;
}

/** Two pins of one page each to write, taken one after the other in one scope. */
interface PinTwo extends Common {
  readonly kind: "pin two";
  readonly first: number;
  readonly second: number;
  readonly value: number;
}

interface Write extends Ranged {
  readonly kind: "write";
  readonly value: number;
}

interface Read extends Ranged {
  readonly kind: "read";
}

/** Of a range, or of all where its length is 0. */
interface Sync extends Ranged {
  readonly kind: "sync";
}

interface Truncate extends Common {
  readonly kind: "truncate";
  readonly size: number;
}

interface Punch extends Ranged {
  readonly kind: "punch";
}

interface Invalidate extends Ranged {
  readonly kind: "invalidate";
}

interface Other extends Common {
  readonly kind: "write back" | "evict" | "look for dead";
}

interface Sleep extends Common {
  readonly kind: "sleep";
  readonly delayMs: number;
}

export type Task =
  | PinToWrite
  | PinToRead
  | PinTwo
  | Write
  | Read
  | Sync
  | Truncate
  | Punch
  | Invalidate
  | Other
  | Sleep;
