/**
 * What a sector holds after an operation: 64 words of 8 bytes, each with the number of the operation and a check of sector, place
 * and operation. So every word tells where it comes from, and a torn sector is seen for what it is.
 *
 * See also: sector-ledger.ts, victim.ts.
 */
export const sectorBytes = 512;
const words = sectorBytes / 8;

function check(operation: number, sector: number, word: number): number {
  let mixed = Math.imul(operation, 0x9e3779b1) ^ Math.imul(sector * words + word + 1, 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d);
  return (mixed ^ (mixed >>> 13)) >>> 0;
}

/** The bytes of `count` sectors from `first` on, as `operation` (above 0) writes them. */
export function sectorsOf(operation: number, first: number, count: number): Buffer {
  const bytes = Buffer.allocUnsafe(count * sectorBytes);
  for (let sector = 0, at = 0; sector < count; sector++) {
    for (let word = 0; word < words; word++, at += 8) {
      bytes.writeUInt32LE(operation, at);
      bytes.writeUInt32LE(check(operation, first + sector, word), at + 4);
    }
  }
  return bytes;
}

/** The operation that a word is of; 0 for zeros; undefined for what no operation can have written there. */
export function operationOf(bytes: Buffer, sector: number, word: number): number | undefined {
  const at = word * 8;
  const operation = bytes.readUInt32LE(at);
  const found = bytes.readUInt32LE(at + 4);
  if (operation === 0) return found === 0 ? 0 : undefined;
  return found === check(operation, sector, word) ? operation : undefined;
}

/** The operations that the words of a sector are of. */
export function operationsOf(bytes: Buffer, sector: number): Set<number | undefined> {
  const found = new Set<number | undefined>();
  for (let word = 0; word < words; word++) found.add(operationOf(bytes, sector, word));
  return found;
}
