/**
 * A report as JSON, and the way back: the one result of such a file that a replay is wanted of.
 *
 * See also: result.ts (the fields).
 */
import { PinfoldError } from "../../src/base/errors.js";
import { cut, visible } from "./plain-text.js";
import type { CheckReport, CheckResult } from "./result.js";
import { nameOf } from "./verdict.js";

/** What a replay runs. */
export type Replay = Pick<CheckResult, "race" | "protocol" | "without" | "turns">;

/** Which result of a report, where it has several that can be replayed; what is not given may be anything. */
export interface ReplayChoice {
  readonly race?: string;
  readonly protocol?: string;
  readonly without?: string | null;
}

const turnsCharactersMax = 1024 * 1024;
/** Names of results in a message. */
const namesMax = 8;

const protocols = ["reference", "locked", "counted"] as const;
/** An actor's name and a count: "A12", "disk1". */
const turnShape = /^[A-Za-z]\S*\d$/;

/** With a line end. */
export function jsonText({ results, notApplicable, ok, seed, seconds }: CheckReport): string {
  return `${JSON.stringify({ results, ok, notApplicable, seed, seconds }, null, 2)}\n`;
}

/**
 * Reads one result, a list of them, or a whole report, from which `choice` takes one.
 * @throws PinfoldError EINVAL: the text is none of these, has no such result, has several, or one without turns
 */
export function readReplay(text: string, choice: ReplayChoice = {}): Replay {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new PinfoldError("EINVAL", `replay: not JSON: ${visible((error as Error).message)}`, { cause: error });
  }
  const results = isRecord(value) && "results" in value ? value["results"] : value;
  if (isRecord(results)) return chosen([replayOf(results, "the result")], choice);
  if (!Array.isArray(results)) throw invalid('expected one result of a check, a list of them, or { "results": [...] }');
  return chosen(
    results.map((entry: unknown, at) => replayOf(entry, `results[${at}]`)),
    choice,
  );
}

function chosen(replays: readonly Replay[], choice: ReplayChoice): Replay {
  const fits = replays.filter(
    (replay) =>
      (choice.race === undefined || replay.race === choice.race) &&
      (choice.protocol === undefined || replay.protocol === choice.protocol) &&
      (choice.without === undefined || replay.without === choice.without),
  );
  if (fits.length === 0) {
    if (replays.length === 0) throw invalid("it has no results");
    throw invalid(`no result is ${choiceText(choice)}; there are ${namesOf(replays)}`);
  }
  const withTurns = fits.filter((replay) => replay.turns !== "");
  const [only, ...others] = withTurns;
  if (only === undefined) throw invalid(`nothing was found under ${namesOf(fits)}: no turns to replay`);
  if (others.length > 0) throw invalid(`say which of these: ${namesOf(withTurns)}`);
  return only;
}

function choiceText({ race, protocol, without }: ReplayChoice): string {
  const guard = without === undefined ? [] : without === null ? ["with all guards"] : [`without ${quoted(without)}`];
  return [race, protocol]
    .flatMap((name) => (name === undefined ? [] : [quoted(name)]))
    .concat(guard)
    .join(" ");
}

function namesOf(replays: readonly Replay[]): string {
  const names = replays.slice(0, namesMax).map((replay) => cut(visible(nameOf(replay)), 60));
  const more = replays.length - names.length;
  return `${names.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** Checks the fields that a replay needs. */
function replayOf(entry: unknown, what: string): Replay {
  if (!isRecord(entry)) throw invalid(`${what} is ${quoted(entry)}, not an object`);
  const { race, protocol, without = null, turns } = entry;
  if (typeof race !== "string" || race === "") throw invalid(`${what}: "race" is ${quoted(race)}, not a name`);
  const known = protocols.find((name) => name === protocol);
  if (known === undefined)
    throw invalid(`${what}: "protocol" is ${quoted(protocol)}, not one of ${protocols.join(", ")}`);
  if (without !== null && (typeof without !== "string" || without === ""))
    throw invalid(`${what}: "without" is ${quoted(without)}, not null or a guard`);
  if (typeof turns !== "string") throw invalid(`${what}: "turns" is ${quoted(turns)}, not text`);
  return { race, protocol: known, without, turns: checkedTurns(turns, what) };
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
