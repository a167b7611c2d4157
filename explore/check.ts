/**
 * The check: every scenario under each pin protocol, and without its guard, as far as its bound says.
 *
 * Invariant: what was cut short is reported as incomplete, never as passed, and a search that failed is an error.
 *
 * See also: check/, races/, search/, report/; src/cli/check.ts (the command).
 */
import { searchAll, type CrewOptions } from "./check/crew.js";
import { type CheckTask, interleavedUrl } from "./check/tasks.js";
import type { CheckReport } from "./report/result.js";
import { allExpected } from "./report/verdict.js";

export interface CheckOptions extends Omit<CrewOptions, "url"> {
  readonly url?: URL;
  /** Races that the report lists though there is no search of them. None without it. */
  readonly notApplicable?: CheckReport["notApplicable"];
}

/** Does all of the tasks. @throws Error where one could not be done */
export async function check(tasks: readonly CheckTask[], options: CheckOptions): Promise<CheckReport> {
  const { nowMs, depth, notApplicable = [] } = options;
  const startMs = nowMs();
  const results = await searchAll(tasks, { url: interleavedUrl, ...options });
  return {
    results,
    notApplicable,
    ok: allExpected(results),
    seed: depth?.seed ?? null,
    seconds: (nowMs() - startMs) / 1000,
  };
}
