/**
 * The sources that ship as one TypeScript program, with a changed copy beside each file that a mutant changes.
 *
 * A copy is called `writer~R1.ts` for mutant R1 of `writer.ts`, imports what the file imports, and stands for it in that mutant's
 * run (modules.ts of ../runtime). One program for all: to check types anew for each mutant would take most of the time.
 *
 * Invariant: a mutant's text is in its file exactly once, so that it cannot rot into one that changes nothing.
 */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import ts from "typescript-api";

/** A change of a source's text: the guard that a mutant takes out. */
export interface Replacement {
  /** From the package's root: "src/mapping/truncate.ts". */
  readonly file: string;
  readonly original: string;
  readonly mutated: string;
}

export interface Mutant {
  readonly name: string;
  readonly replacements: readonly Replacement[];
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

/** `text` with the replacements for `file` made. @throws Error where a text is not there exactly once */
export function replaced(file: string, text: string, { name, replacements }: Mutant): string {
  let result = text;
  for (const { original, mutated } of replacements.filter((one) => one.file === file)) {
    const parts = result.split(original);
    if (parts.length !== 2)
      throw new Error(`mutant ${name}: its text is ${parts.length - 1} times in ${file}, not once: ${original}`);
    result = parts.join(mutated);
  }
  return result;
}

/** What a mutant's copy of a file is called. */
export function copyOf(file: string, mutant: string): string {
  return file.replace(/\.ts$/, `~${mutant}.ts`);
}

/** True for AssemblyScript, which is not for TypeScript's compiler. */
export function isWordsSource(file: string): boolean {
  return file.startsWith("src/sync/words/");
}

/** Paths of the TypeScript files below a folder, from the package's root. */
export function filesBelow(folder: string, root = packageRoot()): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
}

const options: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.CommonJS,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  lib: ["lib.es2023.d.ts", "lib.es2024.sharedmemory.d.ts", "lib.esnext.disposable.d.ts"],
  types: ["node"],
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: true,
  removeComments: true,
  noEmitOnError: false,
};

/** The program of all `files`, and of the copies that mutants need. Paths are absolute inside the program. */
export function sourceProgram(files: readonly string[], mutants: readonly Mutant[], root = packageRoot()): ts.Program {
  const copies = new Map<string, string>();
  for (const mutant of mutants) {
    for (const file of new Set(mutant.replacements.map((one) => one.file))) {
      const text = replaced(file, readFileSync(join(root, file), "utf8"), mutant);
      if (!isWordsSource(file)) copies.set(join(root, copyOf(file, mutant.name)), text);
    }
  }
  // Not where this process happens to run.
  const rooted = { ...options, rootDir: root, typeRoots: [join(root, "node_modules/@types")] };
  const host = ts.createCompilerHost(rooted);
  host.getCurrentDirectory = () => root;
  const plain = { ...host };
  host.fileExists = (path) => copies.has(path) || plain.fileExists(path);
  host.readFile = (path) => copies.get(path) ?? plain.readFile(path);
  host.getSourceFile = (path, target, ...rest) => {
    const copy = copies.get(path);
    if (copy === undefined) return plain.getSourceFile(path, target, ...rest);
    return ts.createSourceFile(path, copy, target, true);
  };
  return ts.createProgram({
    rootNames: [...files.map((file) => join(root, file)), ...copies.keys()],
    options: rooted,
    host,
  });
}
