/**
 * What the cache tells on node:diagnostics_channel. A channel without subscribers costs a check.
 */
import { channel } from "node:diagnostics_channel";

export const channels = {
  /** A task has waited for limits.stuckMs: `{ file, index, mode, waitedMs, holders }`. */
  stuck: channel("pinfold:stuck"),
  /** A pin's handle was collected without a put: `{ file, position, length, write, site }`. */
  leaked: channel("pinfold:leaked"),
  /** A page could not be written, and stays dirty: `{ file, index, error }`. */
  writeError: channel("pinfold:write-error"),
  /** A page that could not be written before has been: `{ file, index }`. */
  healed: channel("pinfold:healed"),
  /** A thread had ended without leaving the cache, and was cleaned up after: `{ thread, threadId, found }`. */
  recovered: channel("pinfold:recovered"),
} as const;
