// Reading of shared words by callers: one load each, no decision.
import { RECORD_SHIFT } from "../layout";
import { linkOf, recordOf } from "./memory";

/** The lower half of a word: locks and counted reads. */
export function lowWord(frame: u32): u32 {
  return u32(atomic.load<u64>(recordOf(frame)));
}

/** The upper half of a word: counted writes and the page's state. */
export function highWord(frame: u32): u32 {
  return u32(atomic.load<u64>(recordOf(frame)) >> 32);
}

/** The link word of a frame: its list above, the frame before it + 1 below. */
export function linkWord(frame: u32): u32 {
  return atomic.load<u32>(linkOf(frame));
}
