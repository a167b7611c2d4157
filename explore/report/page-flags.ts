/**
 * The flags of a page word as a schedule shows them: names, order (that of docs/page-states.md), short codes, meanings; and what
 * a step changed of them.
 *
 * Invariant: no flag is lost. One that is not in the table is shown by its own name, after the others.
 *
 * See also: result.ts (PageState), schedule-text.ts, html-sequence.ts.
 */
import type { PageState, Step } from "./result.js";

export interface PageFlag {
  /** As PageState.flags has it; of lock and pins what it begins with. */
  readonly name: string;
  /** In a drawn page word. */
  readonly code: string;
  readonly meaning: string;
  /** Drawn in every page word; others in those of schedules where a page has them. */
  readonly always: boolean;
}

const flag = (name: string, code: string, meaning: string, always = false): PageFlag => ({
  name,
  code,
  meaning,
  always,
});

/** The first two hold more than a bit: the lock "X(A)" or "S2", the pins "pins 1r 1w". */
export const pageFlags: readonly PageFlag[] = [
  flag("lock", "lock", "X(A): A has the page exclusively. S2: two holders share it.", true),
  flag("pins", "pins", "Counted pins: 1r 2w is one for reading and two for writing.", true),
  flag("uptodate", "up", "The frame has the page's contents.", true),
  flag("dirty", "di", "Newer than what the store was given.", true),
  flag("writeback", "wb", "A write of it is on its way to the store.", true),
  flag("unstable", "un", "Written, but the store has not made it durable yet.", true),
  flag("grant", "gr", "The store has promised space and keeps its metadata.", true),
  flag("towrite", "tw", "The sync that runs now has to write it."),
  flag("fresh", "fr", "It was clean when the first of the present write pins came."),
  flag("modified", "mo", "A write, or a pin put with changes, came since."),
  flag("ownerDied", "od", "A thread died that had it exclusively or pinned for writing."),
  flag("view", "vw", "Mapped views may store to it without its lock."),
  flag("failed", "fl", "Its last write failed."),
  flag("evicting", "ev", "Condemned: reclaim or truncate is taking it away."),
  flag("waiters", "qu", "Somebody waits in its queue."),
  flag("gate", "gt", "The gate is closed to new sharers."),
  flag("off", "of", "Off the reclaim queues, because somebody holds it."),
];

export type Change = "same" | "set" | "cleared";

export interface ShownFlag {
  /** Index in pageFlags; -1: not in the table. */
  readonly slot: number;
  readonly text: string;
  readonly change: Change;
}

/** A page after a step, against what the steps before showed of its frame. */
export interface PageChange {
  readonly frame: number;
  readonly page: string;
  /** The page that the frame held before, where that is another one; undefined: the same, or not known. */
  readonly pageBefore: string | undefined;
  /** Nothing was known of the frame before, so nothing is shown as changed. */
  readonly isFirst: boolean;
  /** In the table's order, cleared ones among them. */
  readonly flags: readonly ShownFlag[];
}

/** The slot of a flag as PageState has it: "X(A)" -> that of the lock. */
function slotOf(text: string): number {
  if (/^(X(\(|$)|S\d)/.test(text)) return 0;
  if (text.startsWith("pins ")) return 1;
  const name = text.replaceAll(/[ -]/g, "").toLowerCase();
  return pageFlags.findIndex((entry, at) => at > 1 && entry.name.toLowerCase() === name);
}

/** For each step, what became of the pages that it changed. */
export function pageChanges(steps: readonly Step[]): PageChange[][] {
  const known = new Map<number, PageState>();
  return steps.map((step) =>
    step.pages.map((state) => {
      const before = known.get(state.frame);
      known.set(state.frame, state);
      return changeOf(state, before);
    }),
  );
}

function changeOf(state: PageState, before: PageState | undefined): PageChange {
  const flags: ShownFlag[] = state.flags.map((text) => {
    const isNew = before !== undefined && !before.flags.includes(text);
    return { slot: slotOf(text), text, change: isNew ? "set" : "same" };
  });
  for (const text of before?.flags ?? []) {
    if (!state.flags.includes(text)) flags.push({ slot: slotOf(text), text, change: "cleared" });
  }
  const place = ({ slot }: ShownFlag) => (slot < 0 ? pageFlags.length : slot);
  const pageBefore = before === undefined || before.page === state.page ? undefined : before.page;
  return {
    frame: state.frame,
    page: state.page,
    pageBefore,
    isFirst: before === undefined,
    flags: flags.toSorted((a, b) => place(a) - place(b)),
  };
}

/** Which slots a drawn word of this schedule has: those that are always there, and those that some page has. */
export function slotsOf(steps: readonly Step[]): number[] {
  const used = new Set(steps.flatMap((step) => step.pages.flatMap((page) => page.flags.map(slotOf))));
  return pageFlags.flatMap((entry, at) => (entry.always || used.has(at) ? [at] : []));
}

/** "page 0:3 in frame 1"; "frame 1, no page". */
export function placeText({ frame, page }: Pick<PageState, "frame" | "page">): string {
  return page === "" ? `frame ${frame}, no page` : `page ${page} in frame ${frame}`;
}

/** Threads in the order of their names, then who else there is, the disk, the clock. */
export function actorsOf(steps: readonly Step[]): string[] {
  const place = (actor: string) => (/^[A-Z]$/.test(actor) ? 0 : 2 + ["disk", "clock"].indexOf(actor));
  return [...new Set(steps.map((step) => step.actor))].toSorted((a, b) => place(a) - place(b) || (a < b ? -1 : 1));
}
