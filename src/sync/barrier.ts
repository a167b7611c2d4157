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
import { createRequire } from "node:module";
import { PinfoldError } from "../base/errors.js";

/** Makes every running thread of the process execute a full memory barrier. */
export type Barrier = () => void;

type Call = (...values: number[]) => number;

interface Koffi {
  load(name: string): { func(declaration: string): Call };
}

const systemCall = 324;
const command = { query: 0, privateExpedited: 1 << 3, register: 1 << 4 } as const;
const libraryNames = ["libc.so.6", "libc.musl-x86_64.so.1"];

let loaded: Barrier | null | undefined;

/** The barrier, or null where it cannot be called. */
export function loadBarrier(): Barrier | null {
  if (process.env["PINFOLD_NO_KOFFI"] === "1") return null;
  if (loaded === undefined) loaded = tryLoad();
  return loaded;
}

/** Whether a new cache's views use plain accesses and the barrier (HEADER_PLAIN_VIEWS). */
export function choosePlainViews(): boolean {
  return process.env["PINFOLD_ATOMIC_VIEWS"] !== "1" && loadBarrier() !== null;
}

/** For a thread of a cache whose views need the barrier. @throws PinfoldError ENOTSUP */
export function requireBarrier(): Barrier {
  const barrier = loadBarrier();
  if (barrier === null)
    throw new PinfoldError(
      "ENOTSUP",
      "the cache's mapped views need membarrier, which can be called in the thread that opened the cache and not in this one",
    );
  return barrier;
}

function tryLoad(): Barrier | null {
  if (process.platform !== "linux" || process.arch !== "x64") return null;
  try {
    const koffi = createRequire(import.meta.url)("koffi") as Koffi;
    for (const name of libraryNames) {
      try {
        return bind(koffi.load(name).func("long syscall(long number, long command, long flags, long cpu)"));
      } catch {
        // The other C library, then.
      }
    }
  } catch {
    // Not installed, or no binary for this machine.
  }
  return null;
}

/** Registers the process, which may be done again and again. Null where the kernel has no such barrier or forbids it. */
function bind(call: Call): Barrier | null {
  const membarrier = (wanted: number) => call(systemCall, wanted, 0, 0);
  const needed = command.privateExpedited | command.register;
  const known = membarrier(command.query);
  if (known < 0 || (known & needed) !== needed || membarrier(command.register) !== 0) return null;
  if (membarrier(command.privateExpedited) !== 0) return null;
  return () => {
    if (membarrier(command.privateExpedited) !== 0)
      throw new PinfoldError("EIO", "membarrier failed, which it does not once it is registered");
  };
}
