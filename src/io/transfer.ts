/**
 * Moves bytes between frames and a store, with the bounded retries that every call deserves (F13) and one way to name errors.
 *
 * Invariant: a rejected call is a PinfoldError; nothing is retried that could have been done twice with another effect
 * (whole-range reads and writes can be repeated).
 */
import { limits } from "../base/limits.js";
import { toPinfoldError } from "../base/errors.js";
import type { MkwriteRequest, Store } from "../store/contract.js";

/** Whether a call that has failed `tries` times is tried again. */
function mayRetry(error: unknown, tries: number): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return tries < limits.transientRetriesMax && (code === "EINTR" || code === "EAGAIN");
}

/**
 * What `call` answers, with errors of both kinds, thrown and rejected, as rejections. `operation` is called where there is an error to
 * name: many of these calls take less time than to write that down.
 */
function attempt(operation: () => string, call: () => Promise<void> | void): Promise<void> | void {
  const again = (error: unknown) => attemptAgain(operation, call, error);
  try {
    const pending = call();
    // Stores of users may answer with something that has a then() alone.
    return pending && Promise.resolve(pending).catch(again);
  } catch (error) {
    return again(error);
  }
}

async function attemptAgain(
  operation: () => string,
  call: () => Promise<void> | void,
  firstError: unknown,
): Promise<void> {
  let error = firstError;
  for (let tries = 1; mayRetry(error, tries); tries++) {
    try {
      return await call();
    } catch (next) {
      error = next;
    }
  }
  throw toPinfoldError(error, operation());
}

/** As attempt, blocking. */
function attemptSync(operation: () => string, call: () => void): void {
  for (let tries = 1; ; tries++) {
    try {
      return call();
    } catch (error) {
      if (mayRetry(error, tries)) continue;
      throw toPinfoldError(error, operation());
    }
  }
}

/** Fills `buffers` from `position`. @throws PinfoldError */
export function readIn(store: Store, position: number, buffers: readonly Uint8Array[]): Promise<void> | void {
  const operation = () => `read of ${store.name} at ${position}`;
  return attempt(operation, () => store.readPages(position, buffers));
}

/** As readIn, blocking. The store has sync calls. @throws PinfoldError */
export function readInSync(store: Store, position: number, buffers: readonly Uint8Array[]): void {
  const operation = () => `read of ${store.name} at ${position}`;
  attemptSync(operation, () => store.readPagesSync?.(position, buffers));
}

/** Writes one ascending run. @throws PinfoldError */
export function writeOut(store: Store, position: number, buffers: readonly Uint8Array[]): Promise<void> | void {
  const operation = () => `write to ${store.name} at ${position}`;
  return attempt(operation, () => store.writePages(position, buffers));
}

/** As writeOut, blocking. @throws PinfoldError */
export function writeOutSync(store: Store, position: number, buffers: readonly Uint8Array[]): void {
  const operation = () => `write to ${store.name} at ${position}`;
  attemptSync(operation, () => store.writePagesSync?.(position, buffers));
}

/** Asks the store for leave to change bytes. @throws PinfoldError */
export function askMkwrite(store: Store, request: MkwriteRequest): Promise<void> | void {
  const operation = () => `reservation in ${store.name} at ${request.position}`;
  return attempt(operation, () => store.pageMkwrite(request));
}

/** As askMkwrite, blocking. @throws PinfoldError */
export function askMkwriteSync(store: Store, request: MkwriteRequest): void {
  const operation = () => `reservation in ${store.name} at ${request.position}`;
  attemptSync(operation, () => store.pageMkwriteSync?.(request));
}

/** A store call without bytes: sync, truncate, punch, setSize. EINTR is retried, nothing else. @throws PinfoldError */
export function askStore(store: Store, operation: string, call: () => Promise<void> | void): Promise<void> | void {
  return attempt(() => `${operation} of ${store.name}`, call);
}

/** As askStore, blocking. @throws PinfoldError */
export function askStoreSync(store: Store, operation: string, call: () => void): void {
  attemptSync(() => `${operation} of ${store.name}`, call);
}
