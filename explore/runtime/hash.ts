/**
 * Hashes of what is handed over and learnt: FNV-1a (Fowler, Noll and Vo), of 32 bits.
 */
const basis = 0x811c9dc5 | 0;
const prime = 0x01000193;

export function hashOfNumbers(numbers: ArrayLike<number>, before: number = basis): number {
  let hash = before;
  for (let at = 0; at < numbers.length; at++) hash = Math.imul(hash ^ (numbers[at] as number), prime);
  return hash;
}

export function hashOfBytes(buffers: readonly Uint8Array[]): number {
  let hash = basis;
  for (const buffer of buffers) hash = hashOfNumbers(buffer, hash);
  return hash;
}
