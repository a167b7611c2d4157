/**
 * Which thread of the process this is, and whether another one is still there, by the system's own account (procfs).
 *
 * A thread's number can come back for another thread, so a thread is known by its number and the time at which it began.
 * Where there is no procfs nobody's end can be proven: then every thread counts as alive.
 */
import { closeSync, openSync, readSync, readlinkSync } from "node:fs";

export interface ThreadIdentity {
  /** The system's number of the thread; 0: unknown. */
  readonly id: number;
  /** When it began, in the system's ticks (32 bits of it, never 0); 0: unknown. */
  readonly start: number;
}

/** This thread. */
export function thisThread(): ThreadIdentity {
  try {
    const id = Number(readlinkSync("/proc/thread-self").split("/").at(-1));
    return { id, start: startOf(id) ?? 0 };
  } catch {
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
    return code !== "ENOENT" && code !== "ESRCH";
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
