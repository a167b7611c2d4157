/**
 * Builds of the page words for tests: the reference (plain JavaScript with Atomics) and the steps (generators over an `ops`
 * object of the explorer's).
 *
 * A mutant is a change of the sources' text before they are transformed: each `original` must be there exactly once in
 * its file, so that a mutant cannot rot into one that changes nothing.
 *
 * See also: transform.ts, reference.ts, words-memory.ts (the memory that they run on).
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type StepsMaker, stepsOf } from "./reference.js";
import { transform, type Sources } from "./transform.js";

export interface Replacement {
  /** Within src/sync: "words/lock.ts". */
  readonly file: string;
  readonly original: string;
  readonly mutated: string;
}

/** The directory of package.json, above this file wherever it was built to. */
export function packageRoot(from: string = import.meta.dirname): string {
  let folder = from;
  for (let depth = 0; depth < 16; depth++) {
    if (existsSync(join(folder, "package.json"))) return folder;
    folder = dirname(folder);
  }
  throw new Error(`no package.json above ${from}`);
}

/** The sources of the words as they are on disk. */
export function readSources(): Sources {
  const sync = join(packageRoot(), "src/sync");
  const files = [
    "layout.ts",
    ...readdirSync(join(sync, "words"))
      .filter((name) => name.endsWith(".ts"))
      .map((name) => `words/${name}`),
  ];
  return new Map(files.map((file) => [`src/sync/${file}`, readFileSync(join(sync, file), "utf8")]));
}

/** The sources with the replacements made. */
export function mutate(sources: Sources, replacements: readonly Replacement[]): Sources {
  const mutated = new Map(sources);
  for (const { file, original, mutated: text } of replacements) {
    const path = `src/sync/${file}`;
    const parts = (mutated.get(path) ?? "").split(original);
    if (parts.length !== 2)
      throw new Error(`a mutant's text is ${parts.length - 1} times in ${path}, not once: ${original}`);
    mutated.set(path, parts.join(text));
  }
  return mutated;
}

/** The text of the reference, for `makeReference` (reference.ts), in this thread or another. */
export function referenceText(sources: Sources): string {
  return transform(sources, "plain");
}

/** A maker of step builds over any ops. The transform is done once. */
export function stepsMaker(sources: Sources): StepsMaker {
  return stepsOf(transform(sources, "steps"));
}
