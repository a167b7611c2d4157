/**
 * The descriptors of one open file, noted in words that the threads of the process share: so that each is closed once, though the
 * thread that opens or closes them may end at any point.
 *
 * A thread that dies after its close and before it has said so leaves a number that may be another file's by now. So descriptors
 * that are about to be closed are marked first: their file position, which nothing here uses, becomes a random number. Whoever
 * finishes the close looks for the mark: a descriptor without it is not ours any more.
 *
 * Invariants: a number is noted by a plain store right after the call that gave it, where a thread cannot be stopped in between. The
 * mark stands in its word before the first close. Only descriptors of the C library are noted: Node closes its own with their
 * thread.
 *
 * See also: open.ts, file-store.ts.
 */
import { newNumber } from "../../base/random.js";
import { errno, seek, systemError, type Libc } from "./libc.js";

/** What stands in which of a store's cells. */
export const cells = { failedSyncs: 0, healedSyncs: 1, main: 2, buffered: 3, mark: 4, freed: 5, count: 8 } as const;

/** In place of a mark, where positions cannot be set: then a close that was begun is not finished by another thread. */
const unmarkable = -1;

/** Closes what is noted, or what is left of it. @throws what close(2) says of a descriptor; all of them are gone then */
export function closeNoted(libc: Libc, noted: Int32Array): void {
  const fds = [cells.buffered, cells.main].map((at) => (noted[at] as number) - 1);
  let mark = noted[cells.mark] as number;
  const isMine = mark === 0;
  if (isMine) {
    mark = setMark(
      libc,
      fds.filter((fd) => fd >= 0),
    );
    noted[cells.mark] = mark;
  }
  let failed = 0;
  for (const [i, at] of [cells.buffered, cells.main].entries()) {
    const fd = fds[i] as number;
    if (fd < 0) continue;
    const isOurs = mark === unmarkable ? isMine : libc.lseek(fd, 0, seek.current) === mark;
    const answer = isOurs ? libc.close(fd) : 0;
    noted[at] = 0;
    if (answer !== 0 && answer !== errno.EINTR) failed = answer;
  }
  if (failed !== 0) throw systemError(failed, "close");
}

/** Sets one random position for all of them. A block device takes none beyond its end, so smaller ones are tried too. */
function setMark(libc: Libc, fds: readonly number[]): number {
  for (let mark = newNumber() >>> 1; mark > 0; mark >>>= 1) {
    if (fds.every((fd) => libc.lseek(fd, mark, seek.set) === mark)) return mark;
  }
  return unmarkable;
}
