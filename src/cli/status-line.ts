/**
 * The live status line of `serve`: on a terminal one line that is drawn again each second, elsewhere nothing. Messages come
 * above it, at most a few a second, so that a hostile client cannot flood the log.
 */
import { type Timer, systemClock } from "../base/clock.js";
import { formatBytes } from "../base/sizes.js";
import type { PageCache } from "../index.js";
import type { NbdServer } from "../nbd/index.js";

const periodMs = 1000;
const messagesPerPeriod = 5;

export class StatusLine {
  readonly #out: NodeJS.WriteStream;
  #timer: Timer | undefined;
  #messages = 0;
  #suppressed = 0;
  #periodStartMs = 0;
  #last = { requests: 0, hits: 0, misses: 0, atMs: 0 };

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
  }

  /** A line of its own above the status; beyond messagesPerPeriod a second they are counted instead. */
  message(text: string): void {
    const nowMs = systemClock.nowMs();
    if (nowMs - this.#periodStartMs >= periodMs) {
      const more = this.#suppressed > 0 ? `pinfold: ${this.#suppressed} more messages\n` : "";
      this.#periodStartMs = nowMs;
      this.#messages = 0;
      this.#suppressed = 0;
      if (more) this.#out.write(`${this.#clear()}${more}`);
    }
    this.#messages += 1;
    if (this.#messages > messagesPerPeriod) this.#suppressed += 1;
    else this.#out.write(`${this.#clear()}pinfold: ${text}\n`);
  }

  #clear(): string {
    return this.#out.isTTY ? "\r\u001b[K" : "";
  }

  start(cache: PageCache, server: NbdServer): void {
    if (!this.#out.isTTY) return;
    this.#last = this.#sample(cache, server);
    this.#arm(cache, server);
  }

  #arm(cache: PageCache, server: NbdServer): void {
    this.#timer = systemClock.after(periodMs, () => {
      this.#draw(cache, server);
      this.#arm(cache, server);
    });
  }

  #sample(cache: PageCache, server: NbdServer): { requests: number; hits: number; misses: number; atMs: number } {
    const { hits, misses } = cache.stats();
    const requests = Object.values(server.stats().requests).reduce((sum, count) => sum + count, 0);
    return { requests, hits, misses, atMs: systemClock.nowMs() };
  }

  #draw(cache: PageCache, server: NbdServer): void {
    const now = this.#sample(cache, server);
    const stats = cache.stats();
    const nbd = server.stats();
    const perSecond = ((now.requests - this.#last.requests) * 1000) / Math.max(1, now.atMs - this.#last.atMs);
    const hits = now.hits - this.#last.hits;
    const accesses = hits + now.misses - this.#last.misses;
    this.#last = now;
    const dirtyBytes = (stats.dirtyPages + stats.writebackPages + stats.unstablePages) * stats.pageSize;
    const parts = [
      `${Math.round(perSecond)} requests/s`,
      `hits ${accesses === 0 ? "-" : `${((100 * hits) / accesses).toFixed(1)}%`}`,
      `dirty ${formatBytes(dirtyBytes)}`,
      `pinned ${stats.pinnedPages}`,
      `errors ${nbd.errors}`,
      `clients ${nbd.connections}`,
    ];
    this.#out.write(`${this.#clear()}${fit(parts, (this.#out.columns || 80) - 1)}`);
  }

  /** Takes the line away. */
  end(): void {
    this.#timer?.cancel();
    if (this.#timer) this.#out.write(this.#clear());
    this.#timer = undefined;
  }
}

/** As many parts as the line has room for, whole ones. */
function fit(parts: readonly string[], columns: number): string {
  let line = "";
  for (const part of parts) {
    const longer = line === "" ? part : `${line} | ${part}`;
    if (longer.length > columns) break;
    line = longer;
  }
  return line;
}
