/**
 * Which thread of the process this is, and whether another one is still there, by the system's own account (procfs).
 *
 * A thread's number can come back for another thread, so a thread is known by its number and the time at which it began.
 * Where there is no procfs nobody's end can be proven: then every thread counts as alive. A lack of descriptors is no such lack: a
 * thread that cannot find out its own time of birth for that could never be missed (F34).
 */
import { closeSync, existsSync, openSync, readSync, readlinkSync } from "node:fs";
import { isShortage, toPinfoldError } from "./errors.js";

export interface ThreadIdentity {
  /** The system's number of the thread; 0: unknown. */
  readonly id: number;
  /** When it began, in the system's ticks (32 bits of it, never 0); 0: unknown. */
  readonly start: number;
}

/** This thread's number, 0 where it is not known. Takes no descriptor. */
export function thisThreadId(): number {
  try {
    return Number(readlinkSync("/proc/thread-self").split("/").at(-1));
  } catch {
    return 0;
  }
}

/** This thread. @throws PinfoldError EMFILE, ENOMEM */
export function thisThread(): ThreadIdentity {
  const id = thisThreadId();
  if (id === 0) return { id, start: 0 };
  try {
    return { id, start: startOf(id) ?? 0 };
  } catch (error) {
    if (isShortage(error)) throw toPinfoldError(error, "looking for this thread");
    return { id: 0, start: 0 };
  }
}

/** False only where the thread has certainly ended. */
export function isThreadAlive({ id, start }: ThreadIdentity): boolean {
  if (id === 0) return true;
  try {
    const found = startOf(id);
    return found === undefined || start === 0 || found === start;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return false;
    // Where descriptors have run out: a look that takes none, at the number alone.
    return !isShortage(error) || existsSync(`/proc/self/task/${id}`);
  }
}

/** Longer than any proc_pid_stat(5): 52 numbers and a name. readFileSync would take 64 KiB each time, and this is asked often. */
const statBytes = Buffer.alloc(2048);

/** Field 22 of proc_pid_stat(5). The name before it may hold anything, a bracket too. */
function startOf(id: number): number | undefined {
  const fd = openSync(`/proc/self/task/${id}/stat`, "r");
  let text: string;
  try {
    text = statBytes.toString("latin1", 0, readSync(fd, statBytes));
  } finally {
    closeSync(fd);
  }
  const field = text.slice(text.lastIndexOf(")") + 2).split(" ")[19];
  const ticks = Number(field);
  return Number.isFinite(ticks) ? ticks >>> 0 || 1 : undefined;
}
