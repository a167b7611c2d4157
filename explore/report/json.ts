/**
 * A report as JSON, and the way back: the results of such a file that are to be replayed.
 *
 * See also: result.ts (the fields).
 */
import { PinfoldError } from "../../src/base/errors.js";
import { cut, visible } from "./plain-text.js";
import type { CheckReport, CheckResult } from "./result.js";
import { nameOf } from "./verdict.js";

/** What a replay runs, and what it is to find; where that is not known, anything. */
export interface Replay extends Pick<CheckResult, "race" | "protocol" | "without" | "turns"> {
  readonly violations: readonly string[] | null;
}

/** Which results of a report; what is not given may be anything. */
export interface ReplayChoice {
  readonly races?: readonly string[];
  readonly protocol?: string;
  /** Without one of these guards. */
  readonly without?: readonly string[];
}

const replaysMax = 1_000;
const turnsCharactersMax = 1024 * 1024;
/** Names of results in a message. */
const namesMax = 8;

const protocols = ["reference", "locked", "counted"] as const;
/** An actor's name and a count: "A12", "disk1". */
const turnShape = /^[A-Za-z]\S*\d$/;

/** With a line end. */
export function jsonText({ results, steps, notApplicable, ok, seed, seconds }: CheckReport): string {
  return `${JSON.stringify({ results, ok, steps, notApplicable, seed, seconds }, null, 2)}\n`;
}

/**
 * Reads one result, a list of them, or a whole report: those of `choice` in which something was found.
 * @throws PinfoldError EINVAL: the text is none of these, or has nothing to be replayed
 */
export function readReplays(text: string, choice: ReplayChoice = {}): Replay[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new PinfoldError("EINVAL", `replay: not JSON: ${visible((error as Error).message)}`, { cause: error });
  }
  const results = isRecord(value) && "results" in value ? value["results"] : value;
  if (isRecord(results)) return chosen([replayOf(results, "the result")], choice);
  if (!Array.isArray(results)) throw invalid('expected one result of a check, a list of them, or { "results": [...] }');
  if (results.length > replaysMax) throw invalid(`it has ${results.length} results, at most ${replaysMax}`);
  return chosen(
    results.map((entry: unknown, at) => replayOf(entry, `results[${at}]`)),
    choice,
  );
}

function chosen(replays: readonly Replay[], choice: ReplayChoice): Replay[] {
  if (replays.length === 0) throw invalid("it has no results");
  const races = choice.races ?? [undefined];
  return races.flatMap((race) => chosenOf(replays, { ...choice, ...(race !== undefined && { races: [race] }) }));
}

/** Of one race, or of all: at least one. */
function chosenOf(replays: readonly Replay[], choice: ReplayChoice): Replay[] {
  const fits = replays.filter(
    (replay) =>
      (choice.races?.includes(replay.race) ?? true) &&
      (choice.protocol === undefined || replay.protocol === choice.protocol) &&
      (choice.without === undefined || (replay.without !== null && choice.without.includes(replay.without))),
  );
  if (fits.length === 0) throw invalid(`no result is ${choiceText(choice)}; there are ${namesOf(replays)}`);
  const withTurns = fits.filter((replay) => replay.turns !== "");
  if (withTurns.length === 0) throw invalid(`nothing was found under ${namesOf(fits)}: no turns to replay`);
  return withTurns;
}

function choiceText({ races = [], protocol, without = [] }: ReplayChoice): string {
  const names = [...races, ...(protocol === undefined ? [] : [protocol])].map(quoted);
  return [...names, ...without.map((guard) => `without ${quoted(guard)}`)].join(" ");
}

function namesOf(replays: readonly Replay[]): string {
  const names = replays.slice(0, namesMax).map((replay) => cut(visible(nameOf(replay)), 60));
  const more = replays.length - names.length;
  return `${names.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** Checks the fields that a replay needs. */
function replayOf(entry: unknown, what: string): Replay {
  if (!isRecord(entry)) throw invalid(`${what} is ${quoted(entry)}, not an object`);
  const { race, protocol, without = null, turns, violations } = entry;
  if (typeof race !== "string" || race === "") throw invalid(`${what}: "race" is ${quoted(race)}, not a name`);
  const known = protocols.find((name) => name === protocol);
  if (known === undefined)
    throw invalid(`${what}: "protocol" is ${quoted(protocol)}, not one of ${protocols.join(", ")}`);
  if (without !== null && (typeof without !== "string" || without === ""))
    throw invalid(`${what}: "without" is ${quoted(without)}, not null or a guard`);
  if (typeof turns !== "string") throw invalid(`${what}: "turns" is ${quoted(turns)}, not text`);
  const list = violations ?? null;
  if (list !== null && !(Array.isArray(list) && list.every((one) => typeof one === "string")))
    throw invalid(`${what}: "violations" is ${quoted(list)}, not a list of sentences`);
  return { race, protocol: known, without, turns: checkedTurns(turns, what), violations: list };
}

function checkedTurns(turns: string, what: string): string {
  if (turns.length > turnsCharactersMax)
    throw invalid(`${what}: "turns" has ${turns.length} characters, at most ${turnsCharactersMax}`);
  const parts = turns.split(/\s+/).filter((part) => part !== "");
  const wrong = parts.find((part) => !turnShape.test(part));
  if (wrong !== undefined) throw invalid(`${what}: "turns" has ${quoted(wrong)}, not an actor and a count such as A12`);
  return parts.join(" ");
}

/** A value of the file as it may stand in a message: short, and nothing that a terminal would obey. */
function quoted(value: unknown): string {
  return cut(visible(JSON.stringify(value) ?? "missing"), 60);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function invalid(sentence: string): PinfoldError {
  return new PinfoldError("EINVAL", `replay: ${sentence}`);
}
