/**
 * Which requests are refused before anything is done, and with which number.
 *
 * Invariants: pure; whatever passes is inside the device, allowed, and not larger than the limits; the device can rely
 * on it. Past the end is ENOSPC for what would store bytes, EINVAL for the rest.
 *
 * See also: options.ts (what was promised to the client), transmission.ts (the caller).
 */
import { limits } from "../base/limits.js";
import type { NbdDevice } from "./device.js";
import { command, commandFlag, commandNames, replyError } from "./protocol.js";
import type { RequestFields } from "./request-parser.js";

export interface Refusal {
  readonly number: number;
  readonly message: string;
}

const f = commandFlag;
/** Flags that each command takes; index: the command's number. FUA means nothing where nothing is written, and is let through. */
const flagsTaken = [f.fua | f.df, f.fua, f.fua, f.fua, f.fua, f.fua, f.fua | f.noHole | f.fastZero] as const;

const refusals = {
  unknownCommand: { number: replyError.EINVAL, message: "unknown command" },
  unknownFlag: { number: replyError.EINVAL, message: "a flag that the command does not take" },
  readOnly: { number: replyError.EPERM, message: "the export is read-only" },
  noSpace: { number: replyError.ENOSPC, message: "past the end of the export" },
  pastTheEnd: { number: replyError.EINVAL, message: "past the end of the export" },
  longRead: { number: replyError.EOVERFLOW, message: "longer than the largest request" },
  longRequest: { number: replyError.EINVAL, message: "longer than the largest request" },
  shutdown: { number: replyError.ESHUTDOWN, message: "the server is shutting down" },
} as const satisfies Record<string, Refusal>;

export interface CheckContext {
  readonly device: NbdDevice;
  readonly structured: boolean;
  /** The server finishes what it has begun, and begins nothing. */
  readonly closing: boolean;
}

export function checkRequest(request: RequestFields, context: CheckContext): Refusal | undefined {
  const { type, flags, position, length } = request;
  if (type >= commandNames.length) return refusals.unknownCommand;
  if (type === command.disconnect) return undefined;
  if (context.closing) return refusals.shutdown;
  const taken = flagsTaken[type] ?? 0;
  if ((flags & ~taken) !== 0 || ((flags & f.df) !== 0 && !context.structured)) return refusals.unknownFlag;
  if (type === command.flush) return undefined;

  const { device } = context;
  const stores = type === command.write || type === command.writeZeroes;
  if (device.readOnly && (stores || type === command.trim)) return refusals.readOnly;
  if (position > device.sizeBytes - length) return stores ? refusals.noSpace : refusals.pastTheEnd;
  const carriesBytes = type === command.read || type === command.write;
  if (carriesBytes && length > limits.nbdRequestBytesMax) {
    return type === command.read && context.structured ? refusals.longRead : refusals.longRequest;
  }
  return undefined;
}
