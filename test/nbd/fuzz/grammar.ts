/**
 * Random NBD byte streams from a grammar: handshakes, options and requests as a client would send them, and then broken in one or
 * several ways: wrong magics, lengths that promise too much, parts lost, doubled or in another order, flipped bytes, an early end.
 *
 * Invariant: the same seed gives the same stream and the same cuts, on every machine.
 *
 * See also: expectation.ts (what a server has to do with it), run.ts.
 */
import { limits } from "../../../src/base/limits.js";
import { command, commandFlag, option } from "../../../src/nbd/protocol.js";
import { goData, optionHeader, requestHeader } from "../client.js";
import { seededRandom } from "../fixture.js";

export type Random = (below: number) => number;

/** Bytes of the disks of a run. Large enough for reads and writes in several pieces. */
export const diskBytes = 3 * limits.nbdPieceBytes;

export interface Stream {
  readonly seed: number;
  readonly bytes: Buffer;
  /** Where the bytes are cut into chunks, ascending. */
  readonly cuts: readonly number[];
  /** The server wants TLS first. */
  readonly tls: boolean;
  /** The device's calls wait. */
  readonly waits: boolean;
  /** answers: waits for all answers. hangsUp: goes after the last byte. neverReads: that, and its answers stay where they are. */
  readonly manner: "answers" | "hangsUp" | "neverReads";
}

const nasty = [
  0,
  1,
  27,
  28,
  4095,
  65_535,
  65_536,
  diskBytes,
  diskBytes + 1,
  limits.nbdRequestBytesMax + 1,
  0x7fffffff,
  0xffffffff,
];

const oneOf = <Value>(random: Random, values: readonly Value[]): Value => values[random(values.length)] as Value;
const chance = (random: Random, oneIn: number): boolean => random(oneIn) === 0;

function randomBytes(random: Random, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = random(256);
  return bytes;
}

function optionPart(random: Random, type: number, data: Buffer): Buffer {
  const lies = chance(random, 40);
  const length = lies ? oneOf(random, nasty) : data.length;
  const header = optionHeader(type, length);
  if (chance(random, 120)) header[random(8)] = random(256);
  return Buffer.concat([header, data]);
}

function anyOption(random: Random): Buffer {
  const known = [option.list, option.startTls, option.info, option.structuredReply, option.structuredReply];
  const others = [
    option.abort,
    option.listMetaContext,
    option.setMetaContext,
    option.extendedHeaders,
    4,
    random(65_536),
  ];
  const type = oneOf(random, chance(random, 3) ? others : known);
  if (type === option.info) return optionPart(random, type, wantedExport(random));
  if (chance(random, 8)) return optionPart(random, type, randomBytes(random, random(300)));
  if (chance(random, 60)) return optionPart(random, type, Buffer.alloc(limits.nbdOptionBytesMax + random(3) - 1));
  return optionPart(random, type, Buffer.alloc(0));
}

function wantedExport(random: Random): Buffer {
  const known = oneOf(random, ["", "disk", "disk", "disk", "fixed"]);
  const name = chance(random, 12) ? oneOf(random, ["nobody", "x".repeat(random(5000))]) : known;
  const data = goData(
    name.length > 300 && !chance(random, 20) ? "disk" : name,
    Array.from({ length: random(4) }, () => random(5)),
  );
  if (chance(random, 40)) data.writeUInt32BE(oneOf(random, nasty), 0);
  return chance(random, 40) ? data.subarray(0, random(data.length)) : data;
}

function handshake(random: Random): Buffer[] {
  const flags = chance(random, 40) ? random(256) : oneOf(random, [3, 3, 3, 1]);
  const parts: Buffer[] = [Buffer.from([0, 0, 0, flags])];
  const many = chance(random, 100);
  for (let i = many ? limits.nbdOptionsMax + random(4) : random(4); i > 0; i--) parts.push(anyOption(random));
  if (chance(random, 10)) return parts;
  if (chance(random, 5)) {
    const name = Buffer.from(oneOf(random, ["", "disk", "fixed", "no"]));
    parts.push(optionPart(random, option.exportName, name));
  } else parts.push(optionPart(random, option.go, wantedExport(random)));
  return parts;
}

function request(random: Random, number: number): Buffer {
  const odd = chance(random, 12);
  const type = odd ? random(9) : oneOf(random, [0, 0, 0, 1, 1, 1, 1, 3, 4, 5, 6]);
  const large = chance(random, 100);
  const writes = type === command.write;
  const length = chance(random, writes ? 60 : 20) ? oneOf(random, nasty) : random(large ? diskBytes : 3000);
  const position = chance(random, 20)
    ? oneOf(random, nasty) * oneOf(random, nasty)
    : random(large ? 9 : diskBytes >> 4);
  const allowed = [0, 0, 0, commandFlag.fua, commandFlag.noHole, commandFlag.fastZero, commandFlag.df];
  const usual = type === command.writeZeroes || chance(random, 8) ? oneOf(random, allowed) : 0;
  const flags = chance(random, 20) ? random(65_536) : usual;
  const header = requestHeader({ type, flags, cookie: random(2 ** 32), position, length });
  header.writeUInt32BE(number, 8);
  if (chance(random, 200)) header[random(4)] = random(256);
  if (!writes) return header;
  // A payload that is too short makes one of the requests after it.
  const most = length > diskBytes || chance(random, 40) ? random(9000) : diskBytes;
  return Buffer.concat([header, Buffer.alloc(Math.min(length, most), 1 + (number % 250))]);
}

/** One to three of the ways in which bytes get lost or mixed up. */
function breakIt(random: Random, parts: Buffer[]): Buffer {
  for (let times = 1 + random(3); times > 0; times--) {
    const at = random(parts.length);
    const other = random(parts.length);
    const way = random(6);
    if (way === 0) parts.splice(at, 1);
    else if (way === 1) parts.splice(at, 0, parts[other] ?? Buffer.alloc(0));
    else if (way === 2) [parts[at], parts[other]] = [parts[other] ?? Buffer.alloc(0), parts[at] ?? Buffer.alloc(0)];
    else if (way === 3) parts.splice(at, 0, randomBytes(random, random(60)));
    else if (way === 4) parts[at] = (parts[at] ?? Buffer.alloc(0)).subarray(0, random((parts[at]?.length ?? 0) + 1));
    else if ((parts[at]?.length ?? 0) > 0) {
      const part = Buffer.from(parts[at] as Buffer);
      part[random(Math.min(part.length, 40))] = random(256);
      parts[at] = part;
    }
    if (parts.length === 0) break;
  }
  const whole = Buffer.concat(parts);
  return chance(random, 3) ? whole.subarray(0, random(whole.length + 1)) : whole;
}

export function makeStream(seed: number): Stream {
  const random = seededRandom(seed);
  for (let i = 0; i < 3; i++) random(2);
  const parts = handshake(random);
  for (let i = random(chance(random, 10) ? 150 : 24); i > 0; i--) parts.push(request(random, i));
  if (chance(random, 3)) {
    parts.push(requestHeader({ type: command.disconnect, flags: 0, cookie: 0, position: 0, length: 0 }));
  }
  const bytes = chance(random, 2) ? Buffer.concat(parts) : breakIt(random, parts);
  const cuts = Array.from({ length: random(chance(random, 10) ? 40 : 6) }, () => random(bytes.length + 1));
  return {
    seed,
    bytes,
    cuts: cuts.toSorted((a, b) => a - b),
    tls: chance(random, 10),
    waits: chance(random, 3),
    manner: chance(random, 12) ? "neverReads" : chance(random, 8) ? "hangsUp" : "answers",
  };
}
