/**
 * A server on a unix socket of its own, ended with the test; a clock that the test drives; small waits.
 *
 * See also: client.ts, array-device.ts.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { NbdClock } from "../../src/nbd/clock.js";
import type { NbdDevice } from "../../src/nbd/device.js";
import { NbdServer, type NbdServerOptions } from "../../src/nbd/server.js";
import { NbdClient } from "./client.js";

/** A folder that goes away with the test. */
export function scratchFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "pinfold-nbd-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export async function startServer(
  t: TestContext,
  exports: NbdDevice | Map<string, NbdDevice>,
  options: Partial<NbdServerOptions> = {},
): Promise<NbdServer> {
  const server = await NbdServer.listen({
    exports: exports instanceof Map ? exports : new Map([["disk", exports]]),
    address: { path: join(scratchFolder(t), "nbd.sock") },
    ...options,
  });
  t.after(async () => {
    const ended = new AbortController();
    const closing = server.close({ graceMs: 200 }).finally(() => ended.abort());
    while (options.clock instanceof ManualClock && !ended.signal.aborted) {
      options.clock.advance(200);
      await pause(5);
    }
    await closing;
  });
  return server;
}

/** A client in transmission; destroyed with the test. */
export async function startClient(
  t: TestContext,
  server: NbdServer,
  options: { structured?: boolean; name?: string } = {},
): Promise<NbdClient> {
  const client = await startRawClient(t, server);
  await client.go(options.name ?? "", { structured: options.structured ?? false });
  return client;
}

/** A client that has not said anything. */
export async function startRawClient(t: TestContext, server: NbdServer): Promise<NbdClient> {
  const client = await NbdClient.connect(server.address());
  t.after(() => client.destroy());
  return client;
}

/** Waits until `condition` holds, at most 10 s. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const start = Date.now();
  while (!condition()) {
    if (Date.now() - start > 10_000) throw new Error(`waited 10 s for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

/** Bytes that tell their position. */
export function pattern(length: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + seed) & 0xff;
  return bytes;
}

/** The same numbers for the same seed. */
export function seededRandom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export class ManualClock implements NbdClock {
  #now = 0;
  readonly #timers = new Set<{ dueMs: number; run: () => void }>();

  get pending(): number {
    return this.#timers.size;
  }

  nowMs(): number {
    return this.#now;
  }

  after(delayMs: number, run: () => void): { cancel(): void } {
    const timer = { dueMs: this.#now + delayMs, run };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  nextTurn(run: () => void): void {
    setImmediate(run);
  }

  advance(byMs: number): void {
    this.#now += byMs;
    for (const timer of [...this.#timers].toSorted((a, b) => a.dueMs - b.dueMs)) {
      if (timer.dueMs > this.#now || !this.#timers.delete(timer)) continue;
      timer.run();
    }
  }
}
