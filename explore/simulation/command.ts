/**
 * `pinfold simulate`, once its command line was read: voyages until the time is up or one goes wrong, and then a shorter one that goes wrong
 * in the same way.
 *
 * See also: fleet.ts, shorten.ts, replay.ts; src/cli/simulate.ts (the command line).
 */
import { readFileSync, writeFileSync } from "node:fs";
import { systemClock } from "../../src/base/clock.js";
import { PinfoldError } from "../../src/base/errors.js";
import { newNumber } from "../../src/base/random.js";
import { newStop } from "../check/crew.js";
import { readInterleaved } from "../check/tasks.js";
import { secondsText, several, shortCount, styleOf, visible } from "../report/plain-text.js";
import { defects } from "./defects.js";
import { type FleetReport, sailAll } from "./fleet.js";
import { replayVoyage } from "./replay.js";
import { type VoyagePlan, voyageFrom } from "./script.js";
import { shorten } from "./shorten.js";
import { type Passage, sail } from "./voyage.js";

export interface SimulateCommand {
  readonly millisecondsMax?: number;
  readonly voyages?: number;
  readonly seed?: number;
  readonly jobs?: number;
  /** A planted defect. */
  readonly without?: string;
  readonly json: boolean;
  /** A file with a plan. */
  readonly replay?: string;
  /** Where the shorter plan goes. */
  readonly save?: string;
}

/** Lets a seed be typed. */
const seedMost = 2 ** 31 - 1;
const drawPeriodMs = 200;
const millisecondsDefault = 30_000;

/** True where nothing has gone wrong. @throws PinfoldError EINVAL */
export async function runSimulation(command: SimulateCommand): Promise<boolean> {
  const { without = "", replay } = command;
  if (without !== "" && !defects.some(({ name }) => name === without))
    throw new PinfoldError(
      "EINVAL",
      `--without is one of ${defects.map(({ name }) => name).join(", ")}, not ${visible(without)}`,
    );
  if (replay !== undefined) return tell(readPlan(replay), without);
  const seed = command.seed ?? newNumber() % seedMost;
  process.stderr.write(`seed ${seed}: the same again with --seed ${seed}\n`);
  const beginMs = systemClock.nowMs();
  const report = await sailFleet(command, seed, without);
  const seconds = (systemClock.nowMs() - beginMs) / 1000;
  const { wrecked } = report;
  const found = wrecked === undefined ? undefined : shortened(wrecked, without, command.save);
  if (command.json) process.stdout.write(`${JSON.stringify(jsonOf(report, seed, seconds, found))}\n`);
  else process.stdout.write(`${summary(report.passage, seconds)}\n`);
  if (found && wrecked !== undefined && !command.json) {
    process.stdout.write(
      `seed ${wrecked} went wrong: ${found.sentence}\nA shorter voyage that goes wrong in the same way:\n\n`,
    );
    tell(found.plan, without);
  }
  return wrecked === undefined;
}

async function sailFleet(command: SimulateCommand, seed: number, mutant: string): Promise<FleetReport> {
  const { jobs, voyages } = command;
  const millisecondsMax = command.millisecondsMax ?? (voyages === undefined ? millisecondsDefault : undefined);
  const stop = newStop();
  const onSignal = () => void Atomics.store(stop, 0, 1);
  process.once("SIGINT", onSignal);
  const out = process.stderr;
  let drawnMs = 0;
  try {
    return await sailAll({
      seed,
      voyages,
      millisecondsMax,
      jobs,
      mutant,
      stop,
      onProgress(passage) {
        const nowMs = systemClock.nowMs();
        if (!out.isTTY || nowMs - drawnMs < drawPeriodMs) return;
        drawnMs = nowMs;
        out.write(`\r${progressText(passage).slice(0, out.columns - 1)}\u001b[K`);
      },
    });
  } finally {
    if (out.isTTY) out.write("\r\u001b[K");
    process.removeListener("SIGINT", onSignal);
  }
}

function progressText({ tasks, powerCuts, kills, voyages }: Passage): string {
  return `${shortCount(tasks)} tasks, ${several(powerCuts, "power cut")}, ${several(kills, "kill")}, ${several(voyages, "voyage")}`;
}

function summary(passage: Passage, seconds: number): string {
  const errors = Object.entries(passage.errors).toSorted(([, a], [, b]) => b - a);
  const met = errors.map(([code, count]) => `${code} ${shortCount(count)}`).join(", ");
  return [
    `${several(passage.tasks, "task")} in ${several(passage.lives, "life").replace("lifes", "lives")} of ${several(passage.voyages, "voyage")}, ` +
      `${several(passage.points, "point")}, ${several(passage.powerCuts, "power cut")} (${several(passage.openSectors, "open sector")}), ` +
      `${several(passage.kills, "kill")}, ${secondsText(seconds)}`,
    `errors that tasks met: ${met === "" ? "none" : met}`,
  ].join("\n");
}

interface Found {
  readonly plan: VoyagePlan;
  readonly sentence: string;
}

/** What a seed went wrong with, and a shorter plan for that. */
function shortened(seed: number, mutant: string, save: string | undefined): Found {
  const source = readInterleaved();
  const plan = voyageFrom(seed);
  const wreck = sail(source, plan, { mutant });
  if (!wreck) throw new Error(`seed ${seed} went wrong, and does not any more`);
  const shorter = shorten(source, plan, wreck, mutant);
  if (save !== undefined) writeFileSync(save, `${JSON.stringify(shorter.plan)}\n`);
  return { plan: shorter.plan, sentence: `${wreck.violation.kind}: ${wreck.violation.message}` };
}

function jsonOf({ passage, wrecked }: FleetReport, seed: number, seconds: number, found: Found | undefined): object {
  const ok = wrecked === undefined;
  return { ok, seed, seconds, ...passage, ...(found && { wrecked, violation: found.sentence, plan: found.plan }) };
}

/** @throws PinfoldError EINVAL */
function readPlan(path: string): VoyagePlan {
  const parsed = parsedOf(path) as { plan?: VoyagePlan } & Partial<VoyagePlan>;
  const plan = parsed.plan ?? parsed;
  if (!plan.character || !Array.isArray(plan.lives))
    throw new PinfoldError("EINVAL", `replay: ${visible(path)} has no voyage: it is what --save or --json wrote`);
  return plan as VoyagePlan;
}

function parsedOf(path: string): unknown {
  const text = readFileSync(path, "utf8");
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new PinfoldError("EINVAL", `replay: ${visible(path)} is not JSON`, { cause: error });
  }
}

/** True where the voyage goes well. */
function tell(plan: VoyagePlan, mutant: string): boolean {
  const { lines, wreck } = replayVoyage(readInterleaved(), plan, mutant, styleOf(process.stdout, process.env));
  process.stdout.write(`${lines.join("\n")}\n`);
  return wreck === undefined;
}
