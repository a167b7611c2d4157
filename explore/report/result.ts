/**
 * What a check has found, as `pinfold check --json` prints it and every other form of output is made from.
 */

/** One page as it was after a step: what the picture beside a schedule shows. */
export interface PageState {
  /** Frame number. */
  readonly frame: number;
  /** "file:index" of the page in it, or "" where it has none. */
  readonly page: string;
  /** In the order of docs/page-states.md: "X(A)", "S2", "pins 1r 1w", "uptodate", "dirty", "writeback", "unstable", "grant", ... */
  readonly flags: readonly string[];
}

/** Something that one actor did. */
export interface Step {
  /** "A", "B", "disk", "clock". */
  readonly actor: string;
  /** Where in the sources: "src/mapping/truncate.ts:120"; "" for disk and clock. */
  readonly at: string;
  /** "lockExclusive(0, 1, 0) = OK". */
  readonly what: string;
  /** Pages that are in another state than before the step. */
  readonly pages: readonly PageState[];
}

/** What a deep check did past the bound that it completed. It has found what it has found, and shows nothing else. */
export interface Beyond {
  /** A higher bound whose search was cut short, and how many of its schedules ran; null: none was begun. */
  readonly bound: number | null;
  readonly schedules: number;
  /** Random schedules: even walks, and those with random priorities (PCT). */
  readonly walks: number;
  readonly priorities: number;
}

export interface CheckResult {
  /** "R7", or the name of a compound scenario: "C2". */
  readonly race: string;
  readonly title: string;
  readonly protocol: "reference" | "locked" | "counted";
  /** The guard that was taken out. */
  readonly without: string | null;
  readonly schedules: number;
  readonly states: number;
  /** Preemptions up to which every interleaving was searched; null: all of them. */
  readonly bound: number | null;
  /** False: the search was cut short, and says nothing about what it did not reach. */
  readonly complete: boolean;
  /** One sentence each. */
  readonly violations: readonly string[];
  readonly expected: "none" | "some";
  /** The shortest schedule found for the first violation; empty where there is none. */
  readonly schedule: readonly Step[];
  /** The same as turns, for --replay: "A12 B3 disk1". */
  readonly turns: string;
  readonly preemptions: number;
  readonly seconds: number;
  /** Null where the check was not a deep one. */
  readonly beyond: Beyond | null;
}

/** Something that went wrong inside of a step. */
export interface StepsViolation {
  /** "two misses of one page". */
  readonly scenario: string;
  readonly sentence: string;
  /** Whose atomic operations were done, in turn: "A12 B3 A1". */
  readonly turns: string;
  /** What the actors called, in the order in which the calls ended. */
  readonly calls: readonly string[];
}

/** The search inside of the steps of the page words, which all results take for one operation each. Every interleaving of its scenarios. */
export interface StepsResult {
  /** Scenarios that were searched. */
  readonly scenarios: number;
  /** False: it was stopped before all of them were searched. */
  readonly complete: boolean;
  /** Scenarios that a quick check leaves out. */
  readonly leftOut: number;
  readonly schedules: number;
  readonly states: number;
  /** One a scenario. */
  readonly violations: readonly StepsViolation[];
  readonly seconds: number;
}

export interface CheckReport {
  readonly results: readonly CheckResult[];
  /** Null where only some races were checked. */
  readonly steps: StepsResult | null;
  /** Races that cannot be checked yet, and why: "R16". Never counted as passed. */
  readonly notApplicable: readonly { readonly race: string; readonly why: string }[];
  /** Every result is complete and as expected, and no step came apart. */
  readonly ok: boolean;
  /** Of random schedules; null where there were none. */
  readonly seed: number | null;
  readonly seconds: number;
}
