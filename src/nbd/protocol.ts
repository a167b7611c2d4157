/**
 * Numbers of the NBD protocol, fixed newstyle, with structured replies. Facts only; what they mean to this server is
 * told where they are used. Source: doc/proto.md of github.com/NetworkBlockDevice/nbd.
 *
 * Invariant: everything on the wire is big-endian. 64-bit magics are kept as two 32-bit halves, so that no BigInt is
 * made on a hot path.
 *
 * See also: option-parser.ts and request-parser.ts (reading), options.ts and reply-writer.ts (writing).
 */

export const magic = {
  greetingHigh: 0x4e42444d,
  greetingLow: 0x41474943,
  optionHigh: 0x49484156,
  optionLow: 0x454f5054,
  optionReplyHigh: 0x0003e889,
  optionReplyLow: 0x045565a9,
  request: 0x25609513,
  simpleReply: 0x67446698,
  structuredReply: 0x668e33ef,
} as const;

/** Sizes of fixed parts, in bytes. */
export const wireBytes = {
  greeting: 18,
  clientFlags: 4,
  optionHeader: 16,
  optionReplyHeader: 20,
  exportNameReply: 10,
  exportNameZeroes: 124,
  requestHeader: 28,
  simpleReplyHeader: 16,
  chunkHeader: 20,
  /** chunkHeader and the position that goes before the data. */
  dataChunkHeader: 28,
  /** chunkHeader, error and message length. */
  errorChunkHeader: 26,
} as const;

export const handshakeFlag = { fixedNewstyle: 1, noZeroes: 2 } as const;

export const option = {
  exportName: 1,
  abort: 2,
  list: 3,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
  extendedHeaders: 11,
} as const;

export const optionReply = {
  ack: 1,
  server: 2,
  info: 3,
  unsupported: 0x80000001,
  invalid: 0x80000003,
  tlsRequired: 0x80000005,
  unknownExport: 0x80000006,
  shutdown: 0x80000007,
  tooBig: 0x80000009,
} as const;

export const infoType = { export: 0, name: 1, description: 2, blockSize: 3 } as const;

export const transmissionFlag = {
  hasFlags: 1 << 0,
  readOnly: 1 << 1,
  sendFlush: 1 << 2,
  sendFua: 1 << 3,
  sendTrim: 1 << 5,
  sendWriteZeroes: 1 << 6,
  sendDf: 1 << 7,
  canMultiConn: 1 << 8,
  sendCache: 1 << 10,
  sendFastZero: 1 << 11,
} as const;

export const command = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  cache: 5,
  writeZeroes: 6,
} as const;

/** Index: the command's number. */
export const commandNames = ["read", "write", "disconnect", "flush", "trim", "cache", "writeZeroes"] as const;
export type CommandName = (typeof commandNames)[number];

export const commandFlag = { fua: 1 << 0, noHole: 1 << 1, df: 1 << 2, fastZero: 1 << 4 } as const;

export const chunkType = { none: 0, offsetData: 1, error: 0x8001 } as const;
export const chunkFlagDone = 1;

/** Error numbers as they stand in replies: those of Linux, on every system. */
export const replyError = {
  none: 0,
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const;

/** What block sizes we tell: any alignment is served, pages are best. The largest is limits.nbdRequestBytesMax. */
export const blockSizes = { minimum: 1, preferred: 4096 } as const;

/** The largest size and length that the protocol's 32-bit length field can ask for in one command. */
export const lengthMax = 0xffffffff;
