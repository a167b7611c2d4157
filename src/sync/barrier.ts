/**
 * A barrier that runs in every thread of the process at once: membarrier(2), through koffi. Who calls it knows that each
 * other thread's accesses before that moment are seen by what he does next, and that its accesses after it see what he did before.
 *
 * It is what lets a mapped view's store go without an atomic operation of its own: the rare revoker pays (view-window.ts).
 * 64-bit x86 on Linux only: there plain accesses of one thread are seen in order, a load before an older store excepted. The
 * system's numbers below are that architecture's.
 *
 * Invariant: all threads of a cache use the same build of the windows; its header says which. PINFOLD_NO_KOFFI=1 and
 * PINFOLD_ATOMIC_VIEWS=1 in the environment choose the build with atomic operations.
 */
import { type ForeignCall, hasCLibrary, loadCLibrary } from "../base/c-library.js";
import { PinfoldError } from "../base/errors.js";

/** Makes every running thread of the process execute a full memory barrier. */
export type Barrier = () => void;

const systemCall = 324;
const command = { query: 0, privateExpedited: 1 << 3, register: 1 << 4 } as const;

let loaded: Barrier | null | undefined;

/** Whether `loadBarrier` can be expected to work, without trying. */
export function hasBarrier(): boolean {
  return process.arch === "x64" && hasCLibrary();
}

/** The barrier, or null where it cannot be called. */
export function loadBarrier(): Barrier | null {
  if (!hasBarrier()) return null;
  if (loaded === undefined) {
    const calls = loadCLibrary()?.bind({ syscall: "long syscall(long number, long command, long flags, long cpu)" });
    loaded = calls ? bind(calls.syscall) : null;
  }
  return loaded;
}

/** Whether a new cache's views use plain accesses and the barrier (HEADER_PLAIN_VIEWS). */
export function choosePlainViews(): boolean {
  return process.env["PINFOLD_ATOMIC_VIEWS"] !== "1" && loadBarrier() !== null;
}

/** For a thread of a cache whose views need the barrier. @throws PinfoldError ENOTSUP */
export function requireBarrier(): Barrier {
  const barrier = loadBarrier();
  if (barrier === null) throw lacking();
  return barrier;
}

/** What a thread is told that has no barrier, in a cache whose views need it. */
export function lacking(): PinfoldError {
  return new PinfoldError(
    "ENOTSUP",
    "the cache's mapped views need membarrier, which can be called in the thread that opened the cache and not in this one",
  );
}

/** Registers the process, which may be done again and again. Null where the kernel has no such barrier or forbids it. */
function bind(call: ForeignCall): Barrier | null {
  const membarrier = (wanted: number) => call(systemCall, wanted, 0, 0) as number;
  const needed = command.privateExpedited | command.register;
  const known = membarrier(command.query);
  if (known < 0 || (known & needed) !== needed || membarrier(command.register) !== 0) return null;
  if (membarrier(command.privateExpedited) !== 0) return null;
  return () => {
    if (membarrier(command.privateExpedited) !== 0)
      throw new PinfoldError("EIO", "membarrier failed, which it does not once it is registered");
  };
}
