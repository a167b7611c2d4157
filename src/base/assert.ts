/**
 * Assertions. They state invariants of this program, never check what a user passed in (errors.ts does that).
 * They stay on in tests and in production: a broken invariant of a page cache must stop the call, not spread.
 *
 * See also: errors.ts (what a caller can cause).
 */

/** A broken invariant: a defect of Pinfold, never of its caller. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
  readonly code = "ERR_PINFOLD_ASSERTION";
}

/**
 * Throws unless `condition` holds.
 * @throws AssertionError
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** Marks a place that no value can reach. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${String(value)}`);
}
