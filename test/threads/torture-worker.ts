/**
 * A worker of a torture run: attaches the cache, and lets its lanes do operations until it is told to stop; from time to time it
 * closes the cache and attaches it again.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { BroadcastChannel, parentPort, workerData } from "node:worker_threads";
import { setTimeout as sleep } from "node:timers/promises";
import { type CacheShare, type CachedFile, PageCache, PinfoldError, UserPages } from "../../src/index.js";
import { Board, type Geometry } from "./torture-board.js";
import { type HandOver, Lane, type LaneWorker } from "./torture-lane.js";
import { Choice, closeFirmly, operations } from "./torture-operations.js";

export interface TortureWorkerData {
  readonly share: CacheShare;
  readonly geometry: Geometry;
  readonly board: SharedArrayBuffer;
  readonly worker: number;
  /** How many workers have been in this one's place. */
  readonly incarnation: number;
  readonly seed: number;
  /** A name that no other run has. */
  readonly name: string;
  /** What to open: a path, or the key of a store in another thread. */
  readonly target: string | { readonly key: string };
  readonly sidePath: string | undefined;
  /** What is durable, of a store in memory whose syncs fail now and then. */
  readonly durable: SharedArrayBuffer | undefined;
  /** It has one lane, which may block it; others have several, which seldom do. */
  readonly mayBlock: boolean;
  /** How long the cache stays attached. */
  readonly attachedMs: number;
}

/** What a worker tells. */
export type TortureMessage = { readonly done: true; readonly attached: number } | { readonly wrong: string };

interface HandOverMessage extends HandOver {
  readonly from: number;
  readonly number: number;
}

interface HandOverReply {
  readonly number: number;
  readonly answer: "adopted" | "refused";
}

/** To find out what a failure needs: PINFOLD_WITHOUT='Sync|punch' leaves out operations whose names match. */
const without = process.env["PINFOLD_WITHOUT"] ? new RegExp(process.env["PINFOLD_WITHOUT"]) : undefined;
/** How long an answer to a hand-over is waited for. */
const answerMs = 1_000;

class TortureWorker implements LaneWorker {
  readonly board: Board;
  readonly data: TortureWorkerData;
  readonly #own: BroadcastChannel;
  readonly #waiting = new Map<number, (answer: "adopted" | "refused" | "lost") => void>();
  #stored: number | undefined;
  #last = 0;
  #cache: PageCache | undefined;
  #adopter: Lane | undefined;
  #adopting = 0;
  attached = 0;
  failed = false;

  constructor(data: TortureWorkerData) {
    this.data = data;
    this.board = new Board(data.geometry, data.board);
    this.#own = new BroadcastChannel(`${data.name}:${data.worker}`);
    this.#own.addEventListener(
      "message",
      (event) => void this.#receive((event as unknown as { data: HandOverMessage | HandOverReply }).data),
    );
  }

  get cache(): PageCache {
    if (!this.#cache) throw new Error("not attached");
    return this.#cache;
  }

  get sidePath(): string | undefined {
    return this.data.sidePath;
  }

  readStored(bytes: Uint8Array, position: number): void {
    const { target, durable } = this.data;
    if (durable) bytes.set(new Uint8Array(durable, position, bytes.length));
    else if (typeof target === "string") {
      this.#stored ??= openSync(target, "r");
      readSync(this.#stored, bytes, 0, bytes.length, position);
    }
  }

  open(): Promise<CachedFile> {
    return this.cache.open(this.data.target);
  }

  #send(worker: number, message: unknown): void {
    const channel = new BroadcastChannel(`${this.data.name}:${worker}`);
    channel.postMessage(message);
    channel.close();
  }

  handOver(to: number, message: HandOver): Promise<"adopted" | "refused" | "lost"> {
    const number = ++this.#last;
    const from = this.data.worker;
    const sent = { ...message, from, number } satisfies HandOverMessage;
    const answer = new Promise<"adopted" | "refused" | "lost">((resolve) => this.#waiting.set(number, resolve));
    if (to === from) void this.#receive(sent);
    else this.#send(to, sent);
    const timer = setTimeout(() => this.#answer(number, "lost"), answerMs);
    return answer.finally(() => clearTimeout(timer));
  }

  #answer(number: number, answer: "adopted" | "refused" | "lost"): void {
    this.#waiting.get(number)?.(answer);
    this.#waiting.delete(number);
  }

  async #receive(message: HandOverMessage | HandOverReply): Promise<void> {
    if ("answer" in message) return this.#answer(message.number, message.answer);
    this.#adopting += 1;
    const answer = await this.#adopt(message).catch((error: unknown) => this.fail("adopt", error));
    this.#adopting -= 1;
    const reply = { number: message.number, answer: answer ?? "refused" } satisfies HandOverReply;
    if (message.from === this.data.worker) this.#answer(reply.number, reply.answer);
    else this.#send(message.from, reply);
  }

  /** Goes on with the pages of another worker: writes them, and puts them. */
  async #adopt({ token, lane, cells }: HandOver): Promise<"adopted" | "refused"> {
    const adopter = this.#adopter;
    if (!adopter) return "refused";
    let pages: UserPages;
    try {
      pages = UserPages.adopt(token as Parameters<typeof UserPages.adopt>[0]);
    } catch (error) {
      if ((error as PinfoldError).code === "ESTALE") return "refused";
      throw error;
    }
    // Those that their writer had claimed; others may be written besides.
    for (const cell of cells) if (this.board.moveClaim(cell, lane, adopter.id)) this.board.release(cell, adopter.id);
    const begun = await adopter.writePins(pages, true);
    pages.put();
    adopter.finish(begun);
    return "adopted";
  }

  /** Attaches the cache, lets the lanes run for a while, and closes it. */
  async round(): Promise<void> {
    const { data, board } = this;
    this.#cache = PageCache.attach(data.share);
    const { thread, threads } = this.#cache.core.frames;
    board.setSlot(data.worker, thread, threads.generation(thread));
    this.attached += 1;
    const lanes: Lane[] = [];
    const incarnation = data.incarnation * 64 + this.attached;
    const count = data.mayBlock ? 1 : data.geometry.lanesPerWorker;
    for (let at = 0; at <= count; at++) {
      lanes.push(new Lane(this, await this.open(), board.laneOf(data.worker, at), incarnation, data.seed));
    }
    const untilMs = performance.now() + data.attachedMs;
    const isOver = () => this.failed || board.stopped || performance.now() > untilMs;
    this.#adopter = lanes.pop() as Lane;
    const adopter = this.#adopter;
    await Promise.all(lanes.map((lane) => this.#runLane(lane, isOver)));
    this.#adopter = undefined;
    while (this.#adopting > 0) await sleep(1);
    if (this.failed) return;
    for (const { file } of [...lanes, adopter]) await closeFirmly(file);
    await closeFirmly(this.#cache);
    this.#cache = undefined;
  }

  async #runLane(lane: Lane, isOver: () => boolean): Promise<void> {
    const { mayBlock, target } = this.data;
    const choice = new Choice({ mayBlock, ownStore: typeof target === "string", without });
    while (!isOver()) {
      const at = choice.next(lane.random);
      const { name, run, codes, mayFail } = operations[at] as (typeof operations)[number];
      this.board.step(lane.id, at);
      this.board.count(at, 0);
      try {
        if (await run(lane)) this.board.count(at, 1);
      } catch (error) {
        if (!isRefusal(error, mayFail && this.data.durable ? [...codes, "EIO"] : codes))
          this.fail(`${name} of lane ${lane.id}`, error);
        this.board.count(at, 2);
      }
    }
    this.board.step(lane.id, -1);
  }

  fail(where: string, error: unknown): void {
    this.failed = true;
    const { worker, incarnation } = this.data;
    const { cause, error: first, suppressed } = error as { cause?: Error; error?: Error; suppressed?: Error };
    const all = [error as Error, cause, first, suppressed].flatMap((one) => (one ? [one.stack ?? String(one)] : []));
    const wrong = `worker ${worker}.${incarnation}, ${where}: ${all.join("\n  with ")}`;
    parentPort?.postMessage({ wrong } satisfies TortureMessage);
  }

  close(): void {
    if (this.#stored !== undefined) closeSync(this.#stored);
    this.#own.close();
  }
}

function isRefusal(error: unknown, codes: readonly string[]): boolean {
  const { code, name } = (error ?? {}) as { code?: string; name?: string };
  return name === "TimeoutError" || name === "AbortError" || (code !== undefined && codes.includes(code));
}

async function main(): Promise<void> {
  const worker = new TortureWorker(workerData as TortureWorkerData);
  try {
    while (!worker.board.stopped && !worker.failed) await worker.round();
  } catch (error) {
    worker.fail("round", error);
  }
  if (!worker.failed) parentPort?.postMessage({ done: true, attached: worker.attached } satisfies TortureMessage);
  worker.close();
}

if (parentPort && (workerData as Partial<TortureWorkerData> | undefined)?.board) void main();
