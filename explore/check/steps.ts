/**
 * The search inside of the steps of the page words, at each of their atomic operations, in a thread of its own: everything else here takes
 * a step for one operation.
 *
 * See also: steps-thread.ts, ../words/ (scenarios and search).
 */
import { Worker } from "node:worker_threads";
import type { StepsResult, StepsViolation } from "../report/result.js";
import { allCases } from "../words/cases.js";
import { explore, replay, Stopped, Violation } from "../words/enumerator.js";
import { type StepsMaker, stepsOf } from "../words/reference.js";
import type { Scenario } from "../words/run.js";

export interface StepsOrder {
  /** Of what the build has made. */
  readonly url: string;
  /** Without the scenarios that take long. */
  readonly quick: boolean;
  /** As of search-thread.ts. */
  readonly stop: Int32Array;
}

export interface StepsRun extends Pick<StepsOrder, "quick"> {
  readonly nowMs: () => number;
  readonly isStopped?: () => boolean;
}

/** All scenarios, each in every interleaving; `text` is that of the steps. @throws Error where one has more states than it may */
export function searchSteps(text: string, { quick, nowMs, isStopped = () => false }: StepsRun): StepsResult {
  const startMs = nowMs();
  const make = stepsOf(text);
  const cases = allCases.filter(({ isLong = false }) => !(quick && isLong));
  const violations: StepsViolation[] = [];
  let schedules = 0;
  let states = 0;
  let scenarios = 0;
  try {
    for (const scenario of cases) {
      try {
        const found = explore(scenario, make, { isStopped });
        schedules += found.schedules;
        states += found.states;
      } catch (error) {
        if (!(error instanceof Violation)) throw error;
        violations.push(violationOf(scenario, make, error));
      }
      scenarios++;
    }
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
  }
  return {
    scenarios,
    leftOut: allCases.length - cases.length,
    complete: scenarios === cases.length,
    schedules,
    states,
    violations,
    seconds: (nowMs() - startMs) / 1000,
  };
}

function violationOf({ name, ...scenario }: Scenario, make: StepsMaker, error: Violation): StepsViolation {
  const { calls } = replay({ name, ...scenario }, make, error);
  return { scenario: name, sentence: error.message.replace(`${name}: `, ""), turns: error.schedule, calls };
}

/** A thread that searches the steps. */
export class StepsThread {
  readonly #worker: Worker;
  readonly result: Promise<StepsResult>;

  constructor(order: StepsOrder) {
    const worker = new Worker(new URL("./steps-thread.js", import.meta.url), { workerData: order });
    this.#worker = worker;
    this.result = new Promise((resolve, reject) => {
      const failed = (what: string, cause?: unknown) =>
        reject(new Error(`the steps could not be searched: ${what}`, { cause }));
      worker.on("message", resolve);
      worker.on("error", (error) => failed(error instanceof Error ? error.message : String(error), error));
      worker.on("exit", (status) => failed(`their thread ended with status ${status}`));
    });
    // Whoever awaits it may do so late.
    this.result.catch(() => {});
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}
