/**
 * How far something is: on a terminal a line that is drawn anew a few times a second, elsewhere nothing.
 */
import { systemClock } from "../base/clock.js";
import { formatBytes } from "../base/sizes.js";

const periodMs = 200;
const barColumns = 24;

export class ProgressBar {
  readonly #out: Pick<NodeJS.WriteStream, "write" | "isTTY">;
  readonly #title: string;
  readonly #total: number;
  readonly #beganMs = systemClock.nowMs();
  #shownMs = Number.NEGATIVE_INFINITY;

  constructor(out: Pick<NodeJS.WriteStream, "write" | "isTTY">, title: string, totalBytes: number) {
    this.#out = out;
    this.#title = title;
    this.#total = totalBytes;
  }

  show(bytes: number): void {
    const nowMs = systemClock.nowMs();
    if (!this.#out.isTTY || nowMs - this.#shownMs < periodMs) return;
    this.#shownMs = nowMs;
    const share = this.#total === 0 ? 1 : bytes / this.#total;
    const perSecond = (bytes * 1000) / Math.max(1, nowMs - this.#beganMs);
    const left = Math.round((this.#total - bytes) / Math.max(1, perSecond));
    const filled = Math.round(share * barColumns);
    const bar = `${"█".repeat(filled)}${"░".repeat(barColumns - filled)}`;
    const text = `${this.#title} ${bar} ${(share * 100).toFixed(0).padStart(3)}%, ${formatBytes(Math.round(perSecond))}/s, ${left} s left`;
    this.#out.write(`\r\u001b[K${text}`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.#out.isTTY && this.#shownMs > 0) this.#out.write("\r\u001b[K");
    this.#shownMs = Number.NEGATIVE_INFINITY;
  }
}
