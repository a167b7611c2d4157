/**
 * Random calls of the page words' functions that make sense: what is called, and on which frame, is chosen by what the
 * memory holds, so that long runs go through all states and keep every invariant.
 *
 * See also: reference.test.ts, which makes them on two builds side by side.
 */
import * as layout from "../../src/sync/layout.js";
import type { Words } from "../../src/sync/words.js";
import type { WordsMemory } from "../../explore/words/words-memory.js";

export type Name = Exclude<keyof Words, "configure">;

/** A small generator of random numbers (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** An integer in [0, below). */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  pick<T>(from: readonly T[]): T | undefined {
    return from[this.below(from.length)];
  }
}

const pages = 12;
/** Drawn three times as often: what brings a page on its way, and lets go. */
const often: readonly Name[] = [
  ...([
    "reserve",
    "insert",
    "setUptodate",
    "unlockExclusive",
    "lockShared",
    "putCountedWrite",
    "putCountedRead",
  ] as const),
  ...([
    "requeue",
    "lockExclusive",
    "markDirty",
    "beginWriteback",
    "endWriteback",
    "grant",
    "accept",
    "thaw",
    "enqueue",
  ] as const),
];

function upTo(count: number): number[] {
  return [...new Array<number>(count).keys()];
}

export class RandomCalls {
  readonly #memory: WordsMemory;
  readonly #random: Random;
  readonly #run: (name: Name, taken: readonly number[]) => number;
  readonly #threads: readonly number[];
  readonly #makers: Readonly<Record<Name, () => readonly number[] | undefined>>;
  readonly names: readonly Name[];

  /** `run` calls a function and gives its answer. */
  constructor(memory: WordsMemory, random: Random, run: (name: Name, taken: readonly number[]) => number) {
    this.#memory = memory;
    this.#random = random;
    this.#run = run;
    this.#makers = {
      ...this.#locks(),
      ...this.#contents(),
      ...this.#table(),
      ...this.#waiting(),
      ...this.#reading(),
      ...this.#views(),
      ...this.#transfers(),
    };
    this.names = [...(Object.keys(this.#makers) as Name[]), ...often, ...often];
    this.#threads = upTo(memory.plan.threads);
  }

  /** Makes one call. Its name, or undefined where nothing made sense. */
  next(name: Name = this.#random.pick(this.names) as Name): Name | undefined {
    const taken = this.#makers[name]();
    if (taken === undefined || taken.some((value) => value === undefined)) return undefined;
    this.#run(name, taken);
    return name;
  }

  // What there is to choose from.

  get #thread(): number {
    return this.#random.pick(this.#threads) as number;
  }

  get #key(): [number, number] {
    return [this.#random.below(this.#memory.plan.mappings), this.#random.below(pages)];
  }

  #frame(test: (frame: number) => boolean = () => true): number | undefined {
    return this.#random.pick(upTo(this.#memory.plan.frames).filter(test));
  }

  /** A frame or a lock record that is mapped. */
  #record(test: (frame: number) => boolean = () => true): number | undefined {
    const { records } = this.#memory.plan;
    return this.#random.pick(upTo(records).filter((frame) => this.#mapped(frame) && test(frame)));
  }

  #mapped(frame: number): boolean {
    return this.#memory.state(frame) === layout.STATE_MAPPED;
  }

  /** The record's own key, or now and then another. */
  #keyOf(frame: number | undefined): [number, number] {
    if (frame === undefined || this.#random.chance(10)) return this.#key;
    return [this.#memory.mappingOf(frame), this.#memory.index(frame)];
  }

  #bit(bit: number): (frame: number) => boolean {
    return (frame) => this.#mapped(frame) && this.#memory.bit(frame, bit);
  }

  /** A record with its owner, or now and then with somebody else; never one whose release would show unread bytes. */
  #owned(test: (frame: number) => boolean = () => true): [number, number] | undefined {
    const frame = this.#record(
      (one) =>
        this.#memory.bit(one, layout.EXCLUSIVE_BIT) && test(one) && this.#threads.includes(this.#memory.holders(one)),
    );
    if (frame === undefined) return undefined;
    return [frame, this.#random.chance(10) ? this.#thread : this.#memory.holders(frame)];
  }

  #ready(frame: number): boolean {
    return this.#memory.bit(frame, layout.UPTODATE_BIT) && !this.#memory.bit(frame, layout.EVICTING_BIT);
  }

  /** A record and a thread that has a hold there that `count` finds in its ledger. */
  #holding(
    count: (entry: number, frame: number, thread: number) => number,
    test: (frame: number) => boolean = () => true,
  ): [number, number] | undefined {
    const { records } = this.#memory.plan;
    const all = upTo(records).flatMap((frame) => this.#threads.map((thread): [number, number] => [frame, thread]));
    return this.#random.pick(
      all.filter(
        ([frame, thread]) =>
          test(frame) && count(this.#memory.get(this.#memory.ledger(frame, thread)), frame, thread) > 0,
      ),
    );
  }

  /** Shared holds that no waiting upgrade stands on. */
  #shares = (entry: number, frame: number, thread: number): number => {
    const upgrades = upTo(this.#memory.plan.nodes).filter((number) => {
      const node = this.#memory.node(number);
      const [state, mode] = [this.#memory.nodeState(number), this.#memory.get(node + layout.NODE_MODE)];
      const alive = state === layout.NODE_WAITING || state === layout.NODE_GRANTED;
      const mine =
        this.#memory.get(node + layout.NODE_FRAME) === frame && this.#memory.get(node + layout.NODE_THREAD) === thread;
      return alive && mine && mode === layout.MODE_UPGRADE;
    });
    return (entry & 0xfff) - upgrades.length;
  };

  #withExtra(pair: [number, number] | undefined, ...extra: number[]): number[] | undefined {
    return pair === undefined ? undefined : [...pair, ...extra];
  }

  #locks() {
    const r = this.#random;
    const flag = (): number => r.below(2);
    const locked = (): number[] | undefined => {
      const frame = r.chance(90) ? this.#record() : this.#frame();
      return frame === undefined ? undefined : [frame, ...this.#keyOf(frame), this.#thread];
    };
    const shared = (): [number, number] | undefined => this.#holding(this.#shares);
    return {
      lockShared: locked,
      lockExclusive: locked,
      tryPinShared: () => [...this.#keyOf(this.#frame((frame) => this.#mapped(frame))), this.#thread],
      unlockShared: shared,
      unlockExclusive: () =>
        this.#withExtra(
          this.#owned((frame) => this.#ready(frame)),
          flag(),
        ),
      takeOver: () => this.#withExtra(this.#owned(), this.#thread),
      downgrade: () =>
        this.#withExtra(
          this.#owned((frame) => this.#ready(frame)),
          flag(),
        ),
      upgrade: shared,
      exclusiveToCounted: () => this.#owned((frame) => this.#ready(frame) && this.#memory.bit(frame, layout.DIRTY_BIT)),
      sharedToCounted: shared,
      putCountedRead: () => this.#holding((entry) => (entry >>> 12) & 0x3ff),
      putCountedWrite: () =>
        this.#withExtra(
          this.#holding((entry) => entry >>> 22),
          flag(),
        ),
      setGate: () => [this.#record() ?? 0, flag()],
    };
  }

  #contents() {
    const r = this.#random;
    const page = (): number | undefined => this.#frame((frame) => this.#mapped(frame));
    const one = (frame: number | undefined): number[] | undefined => (frame === undefined ? undefined : [frame]);
    const ofMapping = (): number => r.below(this.#memory.plan.mappings);
    const isPage = (frame: number): boolean => frame < this.#memory.plan.frames;
    return {
      markDirty: () =>
        this.#withExtra(
          this.#owned((frame) => isPage(frame) && this.#ready(frame)),
          r.below(2 ** 31),
          r.below(70_000),
        ),
      markModified: () =>
        one(
          this.#frame(
            (frame) =>
              this.#mapped(frame) && (this.#memory.bit(frame, layout.EXCLUSIVE_BIT) || this.#memory.writes(frame) > 0),
          ),
        ),
      cleanUnmodified: () => this.#owned((frame) => isPage(frame) && this.#ready(frame)),
      beginWriteback: () => [page() as number, this.#thread],
      beginSnapshot: () => [page() as number, this.#thread],
      endWriteback: () => {
        const frame = this.#frame(this.#bit(layout.WRITEBACK_BIT));
        return frame === undefined ? undefined : [frame, r.below(3)];
      },
      flipEpoch: () => [ofMapping()],
      stabilizeNext: () => [ofMapping(), r.below(2)],
      redirtyNext: () => [ofMapping(), r.below(2)],
      nextDirty: () => [ofMapping()],
      nextWriteback: () => [ofMapping()],
      tagTowrite: () => one(page()),
    };
  }

  /** Looks a key up as `thread`, so that its scratch is of this key. */
  #found(thread: number, mapping: number, index: number): number {
    return this.#run("find", [mapping, index, thread]);
  }

  #table() {
    const r = this.#random;
    const reserved = (): number | undefined =>
      this.#frame(
        (frame) =>
          this.#memory.state(frame) === layout.STATE_RESERVED && this.#threads.includes(this.#memory.holders(frame)),
      );
    const list = (): number => layout.LIST_SMALL + r.below(2);
    return {
      find: () => [...this.#keyOf(this.#frame((frame) => this.#mapped(frame))), this.#thread],
      reserve: () => [this.#thread],
      release: () =>
        [(r.chance(30) ? reserved() : this.#frame((frame) => this.#mapped(frame))) ?? 0].filter((frame) =>
          this.#mayRelease(frame),
        ),
      insert: () => {
        const frame = reserved();
        if (frame === undefined) return undefined;
        const [mapping, index] = this.#key;
        const thread = this.#memory.holders(frame);
        return this.#found(thread, mapping, index) === layout.NONE ? [frame, mapping, index, thread] : undefined;
      },
      setUptodate: () => this.#owned((frame) => !this.#memory.bit(frame, layout.UPTODATE_BIT))?.slice(0, 1),
      condemn: () => (r.chance(30) ? this.#owned((frame) => frame < this.#memory.plan.frames) : undefined),
      freeze: () => [this.#frame() as number, this.#thread],
      thaw: () => (r.chance(30) ? this.#owned((frame) => frame < this.#memory.plan.frames) : undefined),
      remove: () => {
        const frame = this.#frame(this.#bit(layout.EVICTING_BIT));
        if (frame === undefined || !this.#threads.includes(this.#memory.holders(frame))) return undefined;
        const thread = this.#memory.holders(frame);
        const found = this.#found(thread, this.#memory.mappingOf(frame), this.#memory.index(frame));
        return found === frame ? [frame, thread] : undefined;
      },
      takeSnapshot: () => [this.#thread],
      giveSnapshot: () => {
        const { frames, snapshots } = this.#memory.plan;
        const taken = upTo(snapshots)
          .map((at) => at + frames)
          .filter((at) => this.#memory.bit(at, layout.EXCLUSIVE_BIT));
        const frame = r.pick(taken);
        return frame === undefined ? undefined : [frame];
      },
      nextResident: () => [r.below(2), r.below(6), 5 + r.below(8), r.below(4)],
      queueHead: () => [list()],
      moveTo: () => [this.#frame() as number, list(), list(), r.below(4)],
      setAside: () => [this.#frame() as number, list()],
      requeue: () => [this.#frame() as number],
      setHomeMain: () =>
        this.#owned((frame) => frame < this.#memory.plan.frames && this.#memory.bit(frame, layout.OFF_BIT))?.slice(
          0,
          1,
        ),
      ghostRemember: () => this.#key,
      ghostTake: () => this.#key,
    };
  }

  /** Whoever answers GONE, or a frame that is reserved by a thread that calls. */
  #mayRelease(frame: number): boolean {
    const state = this.#memory.state(frame);
    return (
      state === layout.STATE_MAPPED ||
      (state === layout.STATE_RESERVED && this.#threads.includes(this.#memory.holders(frame)))
    );
  }

  #waiting() {
    const r = this.#random;
    const node = (): number => r.below(this.#memory.plan.nodes);
    const frameOf = (number: number): number => this.#memory.get(this.#memory.node(number) + layout.NODE_FRAME);
    const mine = (): number | undefined =>
      r.pick(
        upTo(this.#memory.plan.nodes).filter((one) =>
          this.#threads.includes(this.#memory.get(this.#memory.node(one) + layout.NODE_THREAD)),
        ),
      );
    return {
      enqueue: () => {
        const mode = r.pick([
          layout.MODE_SHARED,
          layout.MODE_EXCLUSIVE,
          layout.MODE_UPGRADE,
          layout.MODE_WRITEBACK,
          layout.MODE_NOTIFY,
        ]) as number;
        const exclusive = (frame: number): boolean => this.#memory.bit(frame, layout.EXCLUSIVE_BIT);
        if (mode === layout.MODE_UPGRADE) {
          const crowded = (frame: number): boolean => !exclusive(frame) && this.#memory.holders(frame) > 1;
          const asked = (frame: number): boolean => crowded(frame) && this.#memory.bit(frame, layout.WAITERS_BIT);
          const holding =
            this.#holding(this.#shares, asked) ??
            this.#holding(this.#shares, crowded) ??
            this.#holding(this.#shares, (frame) => !exclusive(frame));
          return holding === undefined
            ? undefined
            : [holding[0], ...this.#keyOf(holding[0]), mode, holding[1], r.below(5)];
        }
        const frame = this.#record((one) => r.chance(30) || exclusive(one));
        return frame === undefined ? undefined : [frame, ...this.#keyOf(frame), mode, this.#thread, r.below(5)];
      },
      withdraw: () => [mine() ?? node(), layout.NODE_CANCELLED, r.below(5)],
      dismiss: () => {
        const one = node();
        return [one, r.chance(80) ? frameOf(one) : (this.#frame() as number), r.below(100) - 50];
      },
      answer: () => {
        const one = node();
        const scope = this.#memory.get(this.#memory.node(one) + layout.NODE_SCOPE);
        return [one, frameOf(one), r.chance(70) ? scope : r.below(5), r.below(100) - 50];
      },
      firstWaiter: () => [this.#record() ?? 0],
      nextWaiter: () => [node()],
      grant: () => {
        const one = node();
        return [one, r.chance(90) ? frameOf(one) : (this.#frame() as number)];
      },
      accept: () => {
        const one = mine();
        return one === undefined ? undefined : [one];
      },
      clearWaiters: () => [this.#record() ?? 0],
    };
  }

  #reading() {
    const r = this.#random;
    const page = (): number[] => [this.#frame() as number];
    return {
      lowWord: page,
      highWord: page,
      linkWord: page,
      versionOf: page,
      indexOf: page,
      mappingIdOf: page,
      dirtiedAt: page,
      viewOf: page,
      transferState: () => [r.below(this.#memory.plan.transferCount)],
      blockWord: page,
      ledgerEntry: () => [this.#frame() as number, this.#thread],
      sizeOf: () => [r.below(2)],
      setSize: () => [r.below(2), r.below(2 ** 30) * 2 ** 20 + r.below(4096)],
      takeCredits: () => [this.#thread, r.below(6)],
      giveCredits: () => {
        const thread = this.#thread;
        const held = this.#memory.get(layout.THREADS + thread * layout.THREAD_BYTES + layout.THREAD_CREDITS);
        return [thread, r.below(held + 1)];
      },
    };
  }

  #views() {
    const one = (frame: number | undefined): number[] | undefined => (frame === undefined ? undefined : [frame]);
    const isPage = (frame: number): boolean => frame < this.#memory.plan.frames;
    const locked = (frame: number): boolean => this.#mapped(frame) && this.#memory.holders(frame) > 0;
    const viewed = this.#bit(layout.VIEW_BIT);
    return {
      openView: () => this.#owned((frame) => isPage(frame) && this.#ready(frame)),
      revokeView: () => one(this.#frame((frame) => viewed(frame) && locked(frame)) ?? this.#frame(locked)),
      ageView: () => this.#owned(isPage)?.slice(0, 1),
      closeView: () => one(this.#frame(viewed) ?? this.#frame()),
      optimisticBegin: () => [...this.#keyOf(this.#frame((frame) => this.#mapped(frame))), this.#thread],
      markOwnerDied: () => this.#owned((frame) => this.#memory.bit(frame, layout.UPTODATE_BIT))?.slice(0, 1),
      clearOwnerDied: () => one(this.#record(this.#bit(layout.OWNER_DIED_BIT)) ?? this.#record()),
    };
  }

  #transfers() {
    const r = this.#random;
    const { transferCount, transitCount } = this.#memory.plan;
    const any = (): number => r.below(transferCount);
    const stateOf = (transfer: number): number => this.#memory.get(this.#memory.transfer(transfer));
    const ownerOf = (transfer: number): number =>
      (stateOf(transfer) >>> layout.TRANSFER_THREAD_SHIFT) & (layout.THREADS_MAX - 1);
    const inState = (state: number): number | undefined =>
      r.pick(upTo(transferCount).filter((transfer) => (stateOf(transfer) & layout.TRANSFER_STATE_MASK) === state));
    const entryOf = (transfer: number): number | undefined =>
      r.pick(upTo(transitCount).filter((entry) => this.#memory.get(this.#memory.transit(entry) + 4) === transfer + 1));
    return {
      openTransfer: () => [any(), this.#thread],
      sendPage: () => {
        const transfer = inState(layout.TRANSFER_OFFERED);
        if (transfer === undefined) return undefined;
        const thread = ownerOf(transfer);
        const write = r.below(2);
        const count = (entry: number): number => (write === 1 ? entry >>> 22 : (entry >>> 12) & 0x3ff);
        const pinned = this.#holding(
          (entry, _, holder) => (holder === thread ? count(entry) : 0),
          (frame) => frame < this.#memory.plan.frames,
        );
        return pinned === undefined ? undefined : [r.below(transitCount), pinned[0], thread, write, transfer];
      },
      sendCredits: () => {
        const transfer = inState(layout.TRANSFER_OFFERED);
        if (transfer === undefined) return undefined;
        const at = layout.THREADS + ownerOf(transfer) * layout.THREAD_BYTES;
        return [transfer, ownerOf(transfer), r.below(this.#memory.get(at + layout.THREAD_CREDITS) + 1)];
      },
      adopt: () => {
        const transfer = inState(layout.TRANSFER_OFFERED) ?? any();
        return [transfer, stateOf(transfer) + (r.chance(20) ? 1 : 0), this.#thread];
      },
      transitOf: () => [r.below(transitCount), any()],
      takePage: () => {
        const transfer = inState(layout.TRANSFER_ADOPTING);
        if (transfer === undefined) return undefined;
        return [entryOf(transfer) ?? r.below(transitCount), ownerOf(transfer), transfer];
      },
      takeTransferCredits: () => {
        const transfer = inState(layout.TRANSFER_ADOPTING);
        return transfer === undefined ? undefined : [transfer, ownerOf(transfer)];
      },
      endTransfer: () => [inState(layout.TRANSFER_ADOPTING) ?? any()],
    };
  }
}
