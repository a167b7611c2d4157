/**
 * Facts about frames that the floor above may ask for without knowing page words.
 */
import { flagsOf, wordBits } from "../frames/page-word.js";
import type { Core } from "./core.js";

/** True where a thread died while it held the page for writing. */
export function frameOwnerDied(core: Core, frame: number): boolean {
  return (flagsOf(core.frames.words, frame) & wordBits.ownerDied) !== 0;
}
