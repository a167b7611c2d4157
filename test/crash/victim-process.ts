/**
 * Victims from outside: starts one, listens to it, kills it or lets it end, and reads what it left.
 *
 * See also: victim.ts, sector-ledger.ts.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { pause } from "../nbd/fixture.js";
import { type Report, ReportReader, reports } from "./reports.js";
import type { SectorLedger } from "./sector-ledger.js";
import type { VictimOptions } from "./victim.js";

const victimPath = fileURLToPath(new URL("./victim.js", import.meta.url));
/** The descriptor of a victim's pipe, there. */
export const reportFd = 3;

export class VictimProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  stderr = "";
  isReady = false;
  isOver = false;
  readonly #ledger: SectorLedger;
  #broken: Error | undefined;

  constructor(options: VictimOptions, ledger: SectorLedger, as: { uid?: number; gid?: number } = {}) {
    this.#ledger = ledger;
    this.child = spawn(process.execPath, [victimPath, JSON.stringify(options)], {
      stdio: ["ignore", "ignore", "pipe", "pipe"],
      ...as,
    });
    this.child.stderr?.on("data", (chunk: Buffer) => (this.stderr += chunk.toString()));
    const reader = new ReportReader();
    (this.child.stdio[reportFd] as Readable).on("data", (chunk: Buffer) => {
      for (const report of reader.take(chunk)) this.#take(report);
    });
    // "close" comes when the pipe has been read to its end, too.
    this.ended = new Promise((resolve, reject) => {
      this.child.on("error", reject);
      this.child.on("close", (code, signal) => resolve({ code, signal }));
    });
    this.ended.catch(() => {});
  }

  #take(report: Report): void {
    if (report.kind === reports.ready) this.isReady = true;
    else if (report.kind === reports.over) this.isOver = true;
    try {
      this.#ledger.take(report);
    } catch (error) {
      this.#broken ??= error as Error;
    }
  }

  /** @throws Error when the process has ended, or said what cannot be */
  checkAlive(): void {
    if (this.#broken !== undefined) throw this.#broken;
    if (this.child.exitCode !== null || this.child.signalCode !== null)
      throw new Error(`the victim ended by itself: ${this.stderr}`);
  }

  /** Until it is at work and the ledger has `count` syncs that ended well. */
  async waitForSyncs(count: number): Promise<void> {
    const isThere = (): boolean => this.isReady && this.#ledger.syncs >= count;
    if (!(await this.waitAtMost(60_000, isThere)))
      throw new Error(
        `the victim syncs nothing for a minute; under way: ${this.#ledger.underWay || "nothing"}; ${this.stderr}`,
      );
  }

  /** True once `condition` holds; false where it does not in that time. @throws Error when the victim has ended */
  async waitAtMost(timeMs: number, condition: () => boolean): Promise<boolean> {
    for (const untilMs = Date.now() + timeMs; Date.now() < untilMs; await pause(3)) {
      this.checkAlive();
      if (condition()) return true;
    }
    return false;
  }

  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    const { signal } = await this.ended;
    if (signal !== "SIGKILL") throw new Error(`the victim ended by itself: ${this.stderr}`);
    if (this.#broken !== undefined) throw this.#broken;
  }

  /** Asks for a good end. */
  async finish(): Promise<void> {
    this.child.kill("SIGUSR2");
    const late = globalThis.setTimeout(() => this.child.kill("SIGKILL"), 60_000);
    const { code, signal } = await this.ended;
    clearTimeout(late);
    if (signal === "SIGKILL")
      throw new Error(`the victim does not end in a minute; under way: ${this.#ledger.underWay || "nothing"}`);
    if (code !== 0 || !this.isOver) throw new Error(`the victim ended with status ${code}: ${this.stderr}`);
    if (this.#broken !== undefined) throw this.#broken;
  }
}

/** A file, whole; empty where there is none. */
export function bytesOf(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as { code?: unknown }).code === "ENOENT") return Buffer.alloc(0);
    throw error;
  }
}
