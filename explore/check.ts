/**
 * The check: every scenario under each pin protocol, and without its guard, as far as its bound says.
 *
 * Invariant: what was cut short is reported as incomplete, never as passed, and a search that failed is an error.
 *
 * See also: check/, races/, search/, report/; src/cli/check.ts (the command).
 */
import { type CrewOptions, newStop, searchAll } from "./check/crew.js";
import { type CheckTask, interleavedUrl } from "./check/tasks.js";
import { StepsThread } from "./check/steps.js";
import type { CheckReport, StepsResult } from "./report/result.js";
import { allExpected } from "./report/verdict.js";

export interface CheckOptions extends Omit<CrewOptions, "url"> {
  readonly url?: URL;
  /** Races that the report lists though there is no search of them. None without it. */
  readonly notApplicable?: CheckReport["notApplicable"];
  /** Whether to look inside of steps, too; "quick": without the scenarios that take long. */
  readonly steps?: "no" | "quick" | "all";
  readonly onSteps?: (result: StepsResult) => void;
}

/** Does all of the tasks. @throws Error where one could not be done */
export async function check(tasks: readonly CheckTask[], options: CheckOptions): Promise<CheckReport> {
  const { nowMs, depth, notApplicable = [] } = options;
  const startMs = nowMs();
  const { results, steps } = await searchBoth(tasks, { url: interleavedUrl, ...options });
  return {
    results,
    steps,
    notApplicable,
    ok: allExpected({ results, steps }),
    seed: depth?.seed ?? null,
    seconds: (nowMs() - startMs) / 1000,
  };
}

type Both = Pick<CheckReport, "results" | "steps">;

/** The steps beside the tasks where there may be several threads, else before them. */
async function searchBoth(tasks: readonly CheckTask[], options: CheckOptions & { readonly url: URL }): Promise<Both> {
  const { url, steps: wanted = "no", jobs, stop = newStop(), onSteps } = options;
  if (wanted === "no") return { results: await searchAll(tasks, options), steps: null };
  const thread = new StepsThread({ url: url.href, quick: wanted === "quick", stop });
  try {
    const steps = thread.result.then((result) => {
      onSteps?.(result);
      return result;
    });
    if (jobs === 1) await steps;
    const [results, inside] = await Promise.all([searchAll(tasks, options), steps]);
    return { results, steps: inside };
  } finally {
    await thread.end();
  }
}
