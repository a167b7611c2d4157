/**
 * What every tidy check works on: files as { path, text }, so that a check also runs on made-up files.
 * A check is a function from files to complaints, one line each: "path:line: what is wrong".
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript-api";

export interface TreeFile {
  /** From the root of the tree, with slashes. */
  readonly path: string;
  readonly text: string;
}

export type Check = (files: readonly TreeFile[]) => string[];

/** This file runs as build/test/tidy/tree.js. */
export const root = fileURLToPath(new URL("../../../", import.meta.url));

const notOurs = new Set(["node_modules", "build", "coverage", ".git"]);
const textName = /(\.(ts|mts|mjs|js|json|md|html|css|svg|yml|yaml|sh|txt)|\/run|\.npmrc|\.gitignore)$/;

/** Every text file of the tree that we wrote, sorted by path. */
export function readTree(folder = ""): TreeFile[] {
  const files: TreeFile[] = [];
  for (const entry of readdirSync(root + folder, { withFileTypes: true })) {
    const path = folder + entry.name;
    if (entry.isDirectory() && !notOurs.has(entry.name)) files.push(...readTree(`${path}/`));
    if (entry.isFile() && textName.test(`/${path}`)) files.push({ path, text: readFileSync(root + path, "utf8") });
  }
  return files.toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

export const tree = readTree();

export function isTypeScript(file: TreeFile): boolean {
  return file.path.endsWith(".ts") && !file.path.endsWith(".d.ts");
}

/** TypeScript and script files below one of the folders. */
export function sourcesBelow(files: readonly TreeFile[], ...folders: string[]): TreeFile[] {
  return files.filter(
    (file) => (isTypeScript(file) || file.path.endsWith(".mjs")) && folders.some((f) => file.path.startsWith(`${f}/`)),
  );
}

export function parse(file: TreeFile): ts.SourceFile {
  return ts.createSourceFile(file.path, file.text, ts.ScriptTarget.ES2022, true, ts.ScriptKind.TS);
}

/** Calls `visit` for every node below `node`. */
export function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  node.forEachChild((child) => {
    visit(child);
    walk(child, visit);
  });
}

/** Line of a node, from 1. */
export function lineOf(source: ts.SourceFile, position: number): number {
  return source.getLineAndCharacterOfPosition(position).line + 1;
}

export function complain(source: ts.SourceFile, node: ts.Node, message: string): string {
  return `${source.fileName}:${lineOf(source, node.getStart(source))}: ${message}`;
}

/** A made-up file for a check's own test. */
export function sample(path: string, text: string): TreeFile {
  return { path, text };
}

/** For an assertion's message. */
export function list(complaints: readonly string[]): string {
  return `${complaints.length} complaints\n${complaints.join("\n")}\n`;
}
