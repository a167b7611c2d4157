/**
 * Bytes for tests: buffers as a cache has them (page-aligned views of shared WebAssembly memory), and contents that name
 * their position.
 *
 * Invariant: patternBytes never gives a zero byte, so that it differs from a hole.
 *
 * See also: contract-suite.ts.
 */
const wasmPage = 65_536;

/** The part of WebAssembly that is used here; Node's types leave it to the DOM library. */
interface MemoryMaker {
  readonly Memory: new (limits: {
    initial: number;
    maximum: number;
    shared: boolean;
  }) => { readonly buffer: ArrayBuffer };
}
const wasm = (globalThis as unknown as { WebAssembly: MemoryMaker }).WebAssembly;

/** Page-aligned bytes, all zero, in a WebAssembly memory of their own: shared as a cache's frames are, or not. */
export function alignedBytes(length: number, options: { shared?: boolean } = {}): Uint8Array {
  const pages = Math.max(1, Math.ceil(length / wasmPage));
  const memory = new wasm.Memory({ initial: pages, maximum: pages, shared: options.shared ?? true });
  return new Uint8Array(memory.buffer, 0, length);
}

/** Fills `into` with bytes that depend on `position` and `salt`; none is zero. */
export function patternBytes(into: Uint8Array, position: number, salt = 0): Uint8Array {
  for (let i = 0; i < into.length; i++) {
    const at = position + i;
    into[i] = 1 + ((at + Math.floor(at / 4096) * 7 + salt * 31) % 255);
  }
  return into;
}
