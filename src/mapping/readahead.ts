/**
 * Simple sequential readahead: a file that is read from where the last read ended gets its next pages loaded ahead of time,
 * twice as many each time.
 *
 * Rule 9: only frames that are free are taken, at most limits.readaheadShare of all at a time, and nothing is reclaimed for
 * it. Nobody waits for it; a page that could not be read ahead is read, and its error reported, when somebody asks for it.
 */
import { limits } from "../base/limits.js";
import type { AddressSpace } from "../cache/space.js";
import * as layout from "../sync/layout.js";
import type { Core } from "./core.js";
import { lockRun } from "./fault.js";
import { allBytes } from "./locked-run.js";

interface Stream {
  nextPosition: number;
  window: number;
  aheadTo: number;
  busy: boolean;
}

const streams = new WeakMap<AddressSpace, Stream>();

/** A read of `bytes` at `position` has been answered. Costs a comparison where reads are not sequential. */
export function noteRead(core: Core, space: AddressSpace, position: number, bytes: number): void {
  let stream = streams.get(space);
  if (!stream) {
    stream = { nextPosition: -1, window: limits.readaheadTriggerPages, aheadTo: 0, busy: false };
    streams.set(space, stream);
  }
  const isSequential = position === stream.nextPosition;
  stream.nextPosition = position + bytes;
  if (!isSequential || bytes === 0) {
    stream.window = limits.readaheadTriggerPages;
    stream.aheadTo = 0;
    return;
  }
  const next = space.pageOf(position + bytes - 1) + 1;
  if (stream.busy || stream.aheadTo - next > stream.window / 2) return;
  const first = Math.max(next, stream.aheadTo);
  const last = Math.min(first + stream.window - 1, Math.ceil(space.size / space.pageSize) - 1);
  if (last < first || !hasRoom(core, last - first + 1)) return;
  stream.window = Math.min(stream.window * 2, limits.readaheadPagesMax);
  stream.aheadTo = last + 1;
  stream.busy = true;
  void readAhead(core, space, first, last).finally(() => {
    stream.busy = false;
  });
}

function hasRoom(core: Core, pages: number): boolean {
  return pages <= core.frames.count * limits.readaheadShare && core.frames.listLength(layout.LIST_FREE) > pages;
}

/** Loads pages that are not there; errors are left to who asks for the page. Never rejects. */
async function readAhead(core: Core, space: AddressSpace, first: number, last: number): Promise<void> {
  for (let index = first; index <= last && !space.closing; ) {
    if (core.table.find(space.id, index) >= 0) {
      index += 1;
      continue;
    }
    try {
      const request = {
        first: index,
        last,
        mode: layout.MODE_SHARED,
        needsBytes: allBytes,
        pastEnd: false,
        freeFramesOnly: true,
      } as const;
      const run = await lockRun(core, space, request, {});
      for (const frame of run.frames) core.locks.unlockShared(frame);
      index += run.frames.length;
    } catch {
      return;
    }
  }
}
