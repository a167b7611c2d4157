/**
 * All that the explorer runs, made from the sources at build time: each file as the body of a function, and the table of places.
 *
 * See also: ../runtime/modules.ts, which runs it.
 */
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import ts from "typescript-api";
import { Colors } from "./colors.js";
import { type Mutant, copyOf, filesBelow, isWordsSource, packageRoot, replaced, sourceProgram } from "./program.js";
import { shortTables } from "./short-tables.js";
import { Rewriter, type Sites } from "./rewrite.js";
import { transform } from "../words/transform.js";

/** What the runtime loads: text only, so that running it needs no compiler. */
export interface Interleaved {
  /** Body of `function (exports, require, ...names)` by path: "src/mapping/pin.js", "src/mapping/pin~R4.js". */
  readonly modules: Readonly<Record<string, string>>;
  /** "src/mapping/pin.ts:120", by number. */
  readonly sites: readonly string[];
  /** The page words as plain functions, by mutant; "" for the sources as they are. */
  readonly words: Readonly<Record<string, string>>;
  /** The page words as steps that stop before each atomic operation, with tables as long as they are (../words/). */
  readonly steps: string;
  /** Scenarios, as "explore/races/r06-title.ts". */
  readonly scenarios?: readonly string[];
  /** Which modules each mutant replaces: by the path of the original. */
  readonly mutants: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** What is explored; of the stores the one in memory, as the medium of the modelled disk. */
const folders = [
  "stores/memory",
  "base",
  "sync",
  "frames",
  "store",
  "cache",
  "io",
  "writeback",
  "reclaim",
  "mapping",
  "api",
];

/** Makes everything. @throws Error with file and line where a construct is not known, or a mutant's text is not there. */
export function interleave(scenarios: readonly string[], mutants: readonly Mutant[]): Interleaved {
  const root = packageRoot();
  const shipped = folders.flatMap((folder) => filesBelow(`src/${folder}`)).filter((file) => !isWordsSource(file));
  const program = sourceProgram([...shipped.filter((file) => !file.endsWith(".d.ts")), ...scenarios], mutants, root);
  const wanted = new Set([...shipped, ...scenarios].map((file) => join(root, file)));
  const copies = mutants.flatMap((mutant) => mutatedFiles(mutant).map((file) => join(root, copyOf(file, mutant.name))));
  for (const copy of copies) wanted.add(copy);
  const colors = new Colors(program, (file) => wanted.has(file.fileName) && !file.isDeclarationFile);
  const sites: string[] = [];
  const modules: Record<string, string> = {};
  for (const path of wanted) {
    const file = program.getSourceFile(path);
    if (!file || file.isDeclarationFile) continue;
    program.emit(
      file,
      (name, text) => {
        if (name.endsWith(".js")) modules[relative(root, name)] = text;
      },
      undefined,
      false,
      {
        before: [
          (context) => (source) => new Rewriter(colors, placesOf(source, root, sites), context, source).file(source),
        ],
      },
    );
  }
  const steps = transform(wordsTexts(root), "steps");
  return { modules, sites, words: wordsOf(mutants, root), steps, mutants: replacementsOf(mutants) };
}

function mutatedFiles(mutant: Mutant): string[] {
  return [...new Set(mutant.replacements.map(({ file }) => file))].filter((file) => !isWordsSource(file));
}

function placesOf(source: ts.SourceFile, root: string, sites: string[]): Sites {
  const file = relative(root, source.fileName).replace(/~[^.]*/, "");
  return {
    numberOf(node) {
      const { line } = source.getLineAndCharacterOfPosition(node.getStart(source));
      sites.push(`${file}:${line + 1}`);
      return sites.length - 1;
    },
  };
}

function wordsTexts(root: string): Map<string, string> {
  const files = ["src/sync/layout.ts", ...filesBelow("src/sync/words", root)];
  return new Map(files.map((file) => [file, readFileSync(join(root, file), "utf8")]));
}

function wordsOf(mutants: readonly Mutant[], root: string): Interleaved["words"] {
  const texts = wordsTexts(root);
  texts.set("src/sync/layout.ts", shortened(texts.get("src/sync/layout.ts") ?? ""));
  const words: Record<string, string> = { "": transform(texts, "plain") };
  for (const mutant of mutants) {
    if (!mutant.replacements.some(({ file }) => isWordsSource(file))) continue;
    const changed = new Map(
      [...texts].map(([file, text]) => [file, isWordsSource(file) ? replaced(file, text, mutant) : text]),
    );
    words[mutant.name] = transform(changed, "plain");
  }
  return words;
}

/** The layout with tables as short as the explorer has them. */
function shortened(layout: string): string {
  return Object.entries(shortTables).reduce((text, [name, value]) => {
    const made = text.replace(new RegExp(`(export const ${name} = )[^;]+;`), `$1 ${value};`);
    if (made === text) throw new Error(`src/sync/layout.ts has no constant ${name}`);
    return made;
  }, layout);
}

function replacementsOf(mutants: readonly Mutant[]): Interleaved["mutants"] {
  const inJs = (file: string) => file.replace(/\.ts$/, ".js");
  return Object.fromEntries(
    mutants.map((mutant) => [
      mutant.name,
      Object.fromEntries(mutatedFiles(mutant).map((file) => [inJs(file), inJs(copyOf(file, mutant.name))])),
    ]),
  );
}
