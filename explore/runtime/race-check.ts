/**
 * Data races: two plain accesses to the same word, or to the same byte of a frame, by two threads, one of them a change, with nothing
 * that orders them; or a plain access and an atomic one. (JavaScript's memory model calls both a data race. What a program with one
 * does depends on the processor and the compiler, which this explorer knows nothing of.)
 *
 * Each access is compared with the last ones of all others by vector clocks, as in C. Flanagan, S. Freund, "FastTrack: efficient and
 * precise dynamic race detection", PLDI 2009, though with whole vectors for reads and writes, as in the Djit+ that it begins with: there
 * are few threads here. A race is found in whichever order the accesses come, also where they were no points at all.
 *
 * A request to the storage looks at its bytes, or changes them, at any time between its beginning and its end: it counts as a thread
 * that is started by who asks, and makes its accesses at its end. Who asked knows of it when he is told. A thread that is found dead
 * has done all that it did, and so have its requests.
 *
 * What is covered: every run, up to where the search stops it. What is not:
 * * A state that was met before is not gone on from, though the clocks there may be others: the same values, written by somebody
 *   else. `isExact` makes the clocks a part of the state; then a run is only left out where all that follows would find the same. With
 *   the sleepers' reduction a store of what was there already counts as no change, and its order as no matter.
 * * A step of the page words is one operation here: it comes after all that wrote what it looks at, before all that look at what it
 *   writes, and its stores keep what was there before. Within it everything is atomic.
 * * Bytes that the sources read or write one by one, by index, are not seen: only `set`, `fill`, `copyWithin`, and what scenarios
 *   and the storage do.
 * * What runs alone, before and after, is not looked at. To wake somebody orders nothing: who is woken looks at a word.
 *
 * Accesses that race on purpose are in racy-places.ts, each with the reason why it may.
 *
 * See also: clocks.ts (what orders), store-buffer.ts (what the racy files run under).
 */
import { Violation } from "../search/subject.js";
import { hashOfNumbers } from "./hash.js";
import { type Clock, Clocks, partsMax } from "./clocks.js";
import type { AtomicName, Machine } from "./machine.js";
import { diskBit } from "./scheduler.js";
import type { NumberStack } from "./number-stack.js";
import { mayRace } from "./racy-places.js";
import type { VirtualThread } from "./thread.js";

/** A request under way: what it was handed, and under which number it goes. */
interface Carrier {
  readonly part: number;
  readonly forThread: VirtualThread;
}

/** Accesses of one kind: the last one of each part to each place. */
class Accesses {
  readonly times: Float64Array;
  readonly sites: Int32Array;

  constructor(places: number) {
    this.times = new Float64Array(places * partsMax);
    this.sites = new Int32Array(places * partsMax);
  }
}

export interface RaceCheckOptions {
  /** Bytes of frames. */
  readonly bytes: number;
  readonly pageBytes: number;
  /** "src/mapping/pin.ts:120" by number. */
  readonly sites: readonly string[];
  /** The protocol under which holders of pins put their accesses in order by themselves. */
  readonly isCounted: boolean;
  /** The clocks are a part of the state. */
  readonly isExact: boolean;
}

export class RaceCheck {
  readonly #machine: Machine;
  readonly #options: RaceCheckOptions;
  readonly #clocks = new Clocks();
  readonly #words: number;
  readonly #plainReads: Accesses;
  readonly #plainWrites: Accesses;
  readonly #atomicReads: Accesses;
  readonly #atomicWrites: Accesses;
  /** Places that were accessed plainly, ever. */
  readonly #isPlain: Uint8Array;
  /** The request whose accesses are made now. */
  #carrier: Carrier | undefined;
  /** Names of what each part stands for. */
  readonly #names: string[] = [];
  /** Accesses that were compared. */
  compared = 0;
  /** Of the accesses of requests, which are in nobody's history. */
  #transferred = 0;

  constructor(machine: Machine, options: RaceCheckOptions) {
    this.#machine = machine;
    this.#options = options;
    this.#words = machine.words.words.length;
    const places = this.#words + options.bytes;
    this.#plainReads = new Accesses(places);
    this.#plainWrites = new Accesses(places);
    this.#atomicReads = new Accesses(places);
    this.#atomicWrites = new Accesses(places);
    this.#isPlain = new Uint8Array(places);
  }

  /** A new run. */
  begin(): void {
    this.#clocks.begin();
    this.#carrier = undefined;
    this.#transferred = 0;
  }

  /** What the state has to cover besides: 0 unless the check is exact. */
  get hash(): number {
    return this.#options.isExact ? this.#clocks.hash ^ this.#transferred : 0;
  }

  get #isOn(): boolean {
    return this.#machine.quiet === 0;
  }

  get #part(): number {
    return this.#carrier?.part ?? (this.#machine.current as VirtualThread).number;
  }

  // Words.

  /** An operation on a word. `isDone`: of a swap, that it has swapped. */
  word(site: number, name: AtomicName, word: number, isDone: boolean): void {
    if (!this.#isOn) return;
    const part = this.#part;
    if (name === "peek") this.#plain(part, word, false, site);
    else if (name === "poke") {
      this.#plain(part, word, true, site);
      this.#clocks.drop(word);
    } else {
      const reads = name !== "store";
      const writes = name !== "load" && (name !== "swap" || isDone);
      if (reads) this.#atomicRead(part, word, site);
      if (writes) this.#atomicWrite(part, word, site, false);
    }
  }

  /** A step that has read and written these words. */
  step(site: number, read: NumberStack, written: NumberStack): void {
    if (!this.#isOn) return;
    const part = this.#part;
    for (let at = 0; at < read.count; at++) this.#atomicRead(part, read.at(at), site);
    for (let at = 0; at < written.count; at++) this.#atomicWrite(part, written.at(at), site, true);
  }

  #atomicRead(part: number, word: number, site: number): void {
    this.#clocks.acquire(part, word);
    if (this.#isPlain[word] === 1) this.#compare(part, word, site, this.#plainWrites, "an atomic one");
    this.#note(this.#atomicReads, part, word, site);
  }

  #atomicWrite(part: number, word: number, site: number, keeps: boolean): void {
    if (this.#isPlain[word] === 1) {
      this.#compare(part, word, site, this.#plainWrites, "an atomic change");
      this.#compare(part, word, site, this.#plainReads, "an atomic change");
    }
    this.#note(this.#atomicWrites, part, word, site);
    this.#clocks.release(part, word, keeps);
  }

  #plain(part: number, place: number, changes: boolean, site: number): void {
    this.#isPlain[place] = 1;
    const what = changes ? "a plain change" : "a plain look";
    this.#compare(part, place, site, this.#plainWrites, what);
    if (place < this.#words) this.#compare(part, place, site, this.#atomicWrites, what);
    if (changes) {
      this.#compare(part, place, site, this.#plainReads, what);
      if (place < this.#words) this.#compare(part, place, site, this.#atomicReads, what);
    }
    this.#note(changes ? this.#plainWrites : this.#plainReads, part, place, site);
  }

  // Bytes of frames.

  /** The current thread, or the request whose end it is, accesses bytes [from, to) of the frames' memory. */
  bytes(site: number, from: number, to: number, changes: boolean): void {
    if (!this.#isOn) return;
    const part = this.#part;
    if (this.#carrier) this.#transferred ^= hashOfNumbers([part, this.#clocks.sinceStart(part), from, to, +changes]);
    for (let at = from; at < to; at++) this.#plain(part, this.#words + at, changes, site);
  }

  #note(accesses: Accesses, part: number, place: number, site: number): void {
    accesses.times[place * partsMax + part] = this.#clocks.now(part);
    accesses.sites[place * partsMax + part] = site;
  }

  /** @throws Violation where one of those accesses of others is not known to `part` */
  #compare(part: number, place: number, site: number, accesses: Accesses, what: string): void {
    this.compared++;
    const first = place * partsMax;
    for (let other = 0; other < partsMax; other++) {
      if (other === part || this.#clocks.knows(part, other, accesses.times[first + other] as number)) continue;
      const theirs = accesses.sites[first + other] as number;
      if (mayRace(this.#placeOf(part, site), this.#placeOf(other, theirs), this.#options.isCounted)) continue;
      const kind = accesses === this.#atomicReads || accesses === this.#atomicWrites ? "atomic" : "plain";
      this.#machine.fail(
        new Violation(
          "race",
          `${this.#nameOf(place)}: ${what} by ${this.#who(part, site)} and a ${kind} access by ` +
            `${this.#who(other, theirs)} are not ordered`,
        ),
      );
    }
  }

  #nameOf(place: number): string {
    if (place < this.#words) return `the word at ${place * 4}`;
    const { pageBytes } = this.#options;
    const at = place - this.#words;
    return `byte ${at % pageBytes} of frame ${Math.floor(at / pageBytes)}`;
  }

  /** File and line; "" for what a scenario does. */
  #placeOf(part: number, site: number): string {
    return part < diskBit ? (this.#options.sites[site] ?? "") : "the storage";
  }

  #who(part: number, site: number): string {
    if (part >= diskBit) return `the storage, for ${this.#names[part] ?? "somebody"},`;
    const name = this.#machine.threads[part]?.name ?? "somebody";
    const place = this.#placeOf(part, site);
    return place === "" ? name : `${name} at ${place}`;
  }

  // Requests to the storage, and threads that have ended.

  /** The current thread starts a request, which goes by the number `part`. */
  start(part: number): Carrier | undefined {
    if (!this.#isOn) return undefined;
    const thread = this.#machine.current as VirtualThread;
    this.#names[part] = thread.name;
    this.#clocks.learn(part, this.#clocks.hand(thread.number));
    return { part, forThread: thread };
  }

  /** The request's accesses are made: by `work`, at its end. */
  during<T>(carrier: Carrier | undefined, work: () => T): T {
    this.#carrier = carrier;
    try {
      return work();
    } finally {
      this.#carrier = undefined;
    }
  }

  /** The request has ended. What its thread does when it is told so. */
  told(carrier: Carrier | undefined, then: () => unknown): () => unknown {
    if (!carrier) return then;
    const handed: Clock = this.#clocks.end(carrier.part, carrier.forThread.number);
    return () => {
      this.#clocks.learn(carrier.forThread.number, handed);
      return then();
    };
  }

  /** The current thread has found that `dead` is no more. */
  buries(dead: number): void {
    if (this.#isOn) this.#clocks.bury(this.#part, dead);
  }
}
