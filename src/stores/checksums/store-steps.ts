/**
 * The calls of a store as steps (steps.ts).
 */
import { assert } from "../../base/assert.js";
import { limits } from "../../base/limits.js";
import type { Store } from "../../store/contract.js";
import type { Step } from "./steps.js";

function present<Call>(call: Call | undefined): Call {
  assert(call !== undefined, "a blocking call comes only where the stores have sync calls");
  return call;
}

export const readStep = (store: Store, position: number, buffers: readonly Uint8Array[]): Step => ({
  later: () => store.readPages(position, buffers),
  now: () => present(store.readPagesSync?.bind(store))(position, buffers),
});

export const writeStep = (store: Store, position: number, buffers: readonly Uint8Array[]): Step => ({
  later: () => store.writePages(position, buffers),
  now: () => present(store.writePagesSync?.bind(store))(position, buffers),
});

export const syncStep = (store: Store, data: boolean): Step => ({
  later: () => store.sync({ data }),
  now: () => present(store.syncSync?.bind(store))({ data }),
});

/** Extends: setSize may answer at once, and where it does not, a blocking call cannot have it. */
export const sizeStep = (store: Store, size: number): Step => ({
  later: () => store.setSize(size),
  now: () => assert(store.setSize(size) === undefined, "a store with sync calls extends at once"),
});

/** Takes space for [position, position + length), and keeps it: the grant is never given back. */
export const reserveStep = (store: Store, position: number, length: number): Step => {
  const pageSize = limits.blockSize;
  const words = Math.ceil((position + length) / pageSize) - Math.floor(position / pageSize);
  const request = { position, length, pageSize, blocks: new Uint32Array(words) };
  return {
    later: () => store.pageMkwrite(request),
    now: () => present(store.pageMkwriteSync?.bind(store))(request),
  };
};
