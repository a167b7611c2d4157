/** Reports as a check may make them: all 28 races, schedules of 15 to 60 steps, and text that is out to break the page. */
import type { CheckReport, CheckResult, PageState, Step } from "../../explore/report/result.js";

export const raceTitles: readonly string[] = [
  "clean sub-blocks",
  "clean against write fault",
  "mkwrite window",
  "late dirty through a pin",
  "metadata freed",
  "references checked after dirty",
  "truncate against mkwrite",
  "truncate against pin",
  "punch against fill",
  "extend over a partial page",
  "no space at write-back",
  "partial reservation",
  "unstable page",
  "redirty in flight",
  "swallowed error",
  "snapshot against pin",
  "stale block map",
  "invalidate against redirty",
  "flag order",
  "accounting drift",
  "dead holder",
  "lost wake-up",
  "abort against grant",
  "view store against revoke",
  "two images in flight",
  "truncate against fault of the same holder",
  "two half-pool pins",
  "throttle under a lock",
];

/** Races that have nothing to do with pins, so that `reference` does not show them. */
const notOfPins = new Set([12, 15, 20, 21, 22, 23, 25, 27, 28]);

/** Collects steps; a page's flags are given whole, as the explorer does. */
class Telling {
  readonly steps: Step[] = [];

  step(actor: string, at: string, what: string, ...pages: [frame: number, page: string, flags: string][]): this {
    const states = pages.map(
      ([frame, page, flags]): PageState => ({ frame, page, flags: flags === "" ? [] : flags.split(", ") }),
    );
    this.steps.push({ actor, at, what, pages: states });
    return this;
  }
}

/** R4 under bare references: the second write is lost. */
export function lateDirty(): Step[] {
  return new Telling()
    .step("A", "src/api/cached-file.ts:212", "getUserPages(8192, 4096, { write: true })")
    .step("A", "src/mapping/fault.ts:88", "lookup(0, 2) = frame 1")
    .step("A", "src/mapping/fault.ts:131", "lockExclusive(1, 0) = OK", [1, "0:2", "X(A), uptodate"])
    .step("A", "src/mapping/mkwrite.ts:64", "pageMkwrite(0, 2, 1): the store reserves", [
      1,
      "0:2",
      "X(A), uptodate, grant",
    ])
    .step("A", "src/mapping/mkwrite.ts:97", "markDirty(1) = OK", [1, "0:2", "X(A), uptodate, dirty, grant"])
    .step("A", "explore/reference-protocol.ts:41", "unlockExclusive(1) = WAKE", [1, "0:2", "uptodate, dirty, grant"])
    .step("A", "test scenario", "writes the first half of the page")
    .step("clock", "", "5,000 ms pass: the flusher's interval")
    .step("B", "src/writeback/flusher.ts:143", "nextDirty(0) = frame 1")
    .step("B", "src/writeback/write-run.ts:77", "tryLockExclusive(1) = OK", [1, "0:2", "X(B), uptodate, dirty, grant"])
    .step("B", "src/writeback/write-run.ts:92", "beginWriteback(1, stable)", [
      1,
      "0:2",
      "X(B), uptodate, writeback, grant",
    ])
    .step("B", "src/io/transfer.ts:58", "writePages(store 0, page 2): request 1")
    .step("B", "src/writeback/write-run.ts:101", "unlockExclusive(1) = OK", [1, "0:2", "uptodate, writeback, grant"])
    .step("disk", "", "request 1 is done: 4,096 bytes of page 2")
    .step("B", "src/writeback/write-run.ts:160", "endWriteback(1, unstable) = IDLE", [
      1,
      "0:2",
      "uptodate, unstable, grant",
    ])
    .step("B", "src/io/transfer.ts:90", "sync(store 0): request 2")
    .step("disk", "", "request 2 is done")
    .step("B", "src/writeback/sync.ts:71", "stabilizeNext(0) = frame 1", [1, "0:2", "uptodate"])
    .step("A", "test scenario", "writes the second half of the page")
    .step("C", "src/reclaim/scan.ts:118", "condemn(1) = OK", [1, "0:2", "X(C), uptodate, evicting"])
    .step("C", "src/reclaim/scan.ts:140", "remove(1) = OK", [1, "", "reserved"])
    .step("C", "src/frames/free-list.ts:33", "free(1)", [1, "", ""])
    .step("A", "explore/reference-protocol.ts:58", "put(frame 1, dirty): the frame has no page").steps;
}

/** A longer one: three threads, a disk and a clock over three frames, in a fixed order that looks like chance. */
export function longSchedule(length: number, seed = 1): Step[] {
  const telling = new Telling();
  const actors = ["A", "A", "A", "B", "B", "C", "A", "disk", "B", "B", "C", "C", "clock"];
  const flags = ["uptodate", "dirty", "writeback", "unstable", "grant", "towrite", "modified", "waiters", "mystery"];
  const calls = [
    "lockExclusive(0, 1, 0) = OK",
    "lockShared(2, 1, 0) = BUSY",
    "tryLockExclusive(1, 1, 0) = LOST",
    "beginWriteback(1, 0) = OK",
    "invalidatePages(8192, 1073741824): the invalidate lock is exclusive now",
    "insert(0:262143, frame 2) = OK",
    "Atomics.wait(doorbell of thread 1, 7) = timed out",
    "queue(record 514, exclusive, generation 3) = node 12",
  ];
  const places = [
    "src/mapping/truncate.ts:120",
    "src/sync/words/locks.ts:311",
    "src/mapping/view-revoke.ts:207",
    "src/stores/file/unaligned-tail-of-direct-io.ts:1042",
    "src/writeback/write-run.ts:99",
  ];
  const held: string[][] = [[], [], []];
  let random = seed;
  const next = (below: number): number => {
    random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
    return (random >>> 8) % below;
  };
  for (let at = 0; at < length; at++) {
    const actor = actors[(at + next(3)) % actors.length] as string;
    const frame = next(3);
    const pages: [number, string, string][] = [];
    if (next(3) > 0) {
      const now = held[frame] as string[];
      const flag = flags[next(flags.length)] as string;
      const left = now.includes(flag) ? now.filter((other) => other !== flag) : [...now, flag];
      held[frame] = left;
      const lock = ["", "X(A)", "X(B)", "S2"][next(4)] as string;
      const pins = next(4) === 0 ? `pins ${next(3)}r 1w` : "";
      const shown = [lock, pins, ...flags.filter((other) => left.includes(other))].filter((text) => text !== "");
      pages.push([frame, `0:${frame + 262_141}`, shown.join(", ")]);
    }
    if (actor === "disk") telling.step(actor, "", `request ${at} is done: 65,536 bytes`, ...pages);
    else if (actor === "clock") telling.step(actor, "", `${100 * (1 + next(9))} ms pass`, ...pages);
    else telling.step(actor, places[next(places.length)] as string, calls[next(calls.length)] as string, ...pages);
  }
  return telling.steps;
}

/** "A12 B3 disk1" of a schedule. */
export function turnsOf(schedule: readonly Step[]): string {
  const turns: { actor: string; count: number }[] = [];
  for (const { actor } of schedule) {
    const last = turns.at(-1);
    if (last?.actor === actor) last.count += 1;
    else turns.push({ actor, count: 1 });
  }
  return turns.map(({ actor, count }) => `${actor}${count}`).join(" ");
}

/** A result that is complete and as expected, with `over` in its place. */
export function resultOf(over: Partial<CheckResult> = {}): CheckResult {
  const schedule = over.schedule ?? [];
  return {
    race: "R1",
    title: "clean sub-blocks",
    protocol: "locked",
    without: null,
    schedules: 12_345,
    states: 4_321,
    bound: 2,
    complete: true,
    violations: [],
    expected: "none",
    turns: turnsOf(schedule),
    preemptions: schedule.length > 0 ? 2 : 0,
    seconds: 0.42,
    beyond: null,
    ...over,
    schedule,
  };
}

export function reportOf(results: readonly CheckResult[], over: Partial<CheckReport> = {}): CheckReport {
  return { results, steps: null, notApplicable: [], ok: true, seed: null, seconds: 12.3, ...over };
}

const violationTexts = [
  "check: the second half of page 0:2 is not what A wrote: the store has 0x00 at byte 8,192, A wrote 0x02",
  "deadlock: A waits for page 0:9, which B has; B waits for page 0:1, which A has; nobody else can go on",
  "leak: 1 frame credit is not given back",
];

function violated(
  race: number,
  length: number,
): Pick<CheckResult, "violations" | "schedule" | "turns" | "preemptions"> {
  const schedule = race === 4 ? lateDirty() : longSchedule(length, race);
  const violations = [violationTexts[race === 4 ? 0 : race % violationTexts.length] as string];
  return { violations, schedule, turns: turnsOf(schedule), preemptions: 1 + (race % 3) };
}

/** All races, complete and as expected; R16 is not applicable. */
export function goodReport(): CheckReport {
  const results: CheckResult[] = [];
  raceTitles.forEach((title, at) => {
    const number = at + 1;
    if (number === 16) return;
    const base = { race: `R${number}`, title, bound: number % 4 === 0 ? null : 2 };
    const schedules = 311 * number ** 3 + 97;
    const found = { ...violated(number, 15 + ((number * 7) % 46)), expected: "some" as const };
    results.push(resultOf({ ...base, protocol: "reference", schedules, ...(notOfPins.has(number) ? {} : found) }));
    results.push(resultOf({ ...base, protocol: "locked", schedules: 3 * schedules }));
    results.push(resultOf({ ...base, protocol: "counted", schedules: 5 * schedules + 1 }));
    const protocol = number % 2 === 0 ? "counted" : "locked";
    const mutant = { ...violated(number, 12 + ((number * 5) % 30)), expected: "some" as const };
    results.push(resultOf({ ...base, protocol, without: base.race, schedules: 40 * number, ...mutant }));
  });
  const schedules = results.reduce((sum, result) => sum + result.schedules, 0);
  return reportOf(results, {
    notApplicable: [{ race: "R16", why: "snapshots of a file do not exist yet" }],
    seed: 4_072,
    seconds: schedules / 31_000,
  });
}

export const hostile = {
  title: `<script>alert("1")</script> & 'quotes' \u202Egnol\u202C \u001b[31mred\u0007`,
  word: "w".repeat(180),
  sentence: `check: "<img src=x onerror=alert(1)>" </style></script><!-- ]]> &amp; ${"long".repeat(60)}`,
  place: `src/<b>/${"a-very-long-folder-name/".repeat(6)}file"'.ts:99999`,
};

/** The same with things wrong: a race that is open under `locked`, one missed, two cut short, one beyond the table, hostile text. */
export function badReport(): CheckReport {
  const good = goodReport();
  const results = good.results.map((result): CheckResult => {
    const name = `${result.race} ${result.protocol}${result.without === null ? "" : " without"}`;
    if (name === "R8 locked") return { ...result, ...violated(8, 60), violations: [...violationTexts] };
    if (name === "R14 counted") return { ...result, complete: false, schedules: 250_000 };
    if (name === "R21 locked without") return { ...result, violations: [], schedule: [], turns: "", preemptions: 0 };
    if (name === "R26 reference") return { ...result, complete: false };
    return result;
  });
  const schedule = longSchedule(18, 9).map((step, at) =>
    at % 5 === 3 ? { ...step, what: at === 3 ? hostile.word : hostile.title, at: hostile.place } : step,
  );
  results.push(
    resultOf({
      race: "C2",
      title: hostile.title,
      schedule,
      violations: [hostile.sentence],
      bound: 1,
      protocol: "counted",
    }),
    resultOf({ race: "C10", title: "abort during each wait", schedules: 1_234_567_890, bound: null }),
    resultOf({
      race: "C10",
      title: "abort during each wait",
      protocol: "counted",
      without: "R23",
      expected: "some",
      ...violated(23, 20),
    }),
    resultOf({
      race: "C10",
      title: "abort during each wait",
      protocol: "locked",
      without: "R22",
      expected: "some",
      ...violated(22, 20),
    }),
  );
  return { ...good, results, ok: false };
}
