/**
 * Shared-memory primitives, clocks, timers and random numbers are named in src/base and src/sync only: everything else
 * takes them through those, so that the explorer and the tests can stand in for them.
 */
import ts from "typescript-api";
import { complain, parse, sourcesBelow, type TreeFile, walk } from "./tree.js";

const seamFolders = ["src/base/", "src/sync/"];

/** Names that stand alone. */
const globals = ["Atomics", "setTimeout", "setInterval", "setImmediate"];
/** Object -> its properties that count. */
const members: Readonly<Record<string, RegExp>> = {
  Date: /^now$/,
  performance: /^(now|timeOrigin)$/,
  process: /^hrtime$/,
  Math: /^random$/,
  crypto: /^(random|getRandom)/,
  webcrypto: /^(random|getRandom)/,
};
/** Module -> what of it counts. */
const modules: Readonly<Record<string, RegExp>> = {
  "node:timers": /./,
  "node:timers/promises": /./,
  "node:perf_hooks": /^performance$/,
  "node:process": /^hrtime$/,
  "node:crypto": /^(random|getRandom)/,
};

interface Exception {
  readonly folder: string;
  readonly names: RegExp;
  readonly reason: string;
}

const timers = /^(set(Timeout|Interval|Immediate)|node:timers.*)$/;

export const exceptions: readonly Exception[] = [
  {
    folder: "src/cli/",
    names: timers,
    reason: "a program waits for people and processes, outside of what is explored",
  },
  { folder: "src/testing/", names: timers, reason: "the store suite bounds the waits of stores that it does not know" },
];

export function checkSeams(files: readonly TreeFile[]): string[] {
  const sources = sourcesBelow(files, "src").filter((file) => !seamFolders.some((f) => file.path.startsWith(f)));
  return sources.flatMap((file) => {
    const source = parse(file);
    const complaints: string[] = [];
    walk(source, (node) => {
      const name = seamName(node);
      if (name === undefined || isExcepted(file.path, name)) return;
      complaints.push(complain(source, node, `names ${name}; only src/base and src/sync may`));
    });
    return complaints;
  });
}

function isExcepted(path: string, name: string): boolean {
  return exceptions.some((exception) => path.startsWith(exception.folder) && exception.names.test(name));
}

/** What the node names, if it is one of the seams. */
function seamName(node: ts.Node): string | undefined {
  if (ts.isIdentifier(node) && globals.includes(node.text) && !isMemberName(node)) return node.text;
  if (ts.isPropertyAccessExpression(node) || ts.isQualifiedName(node)) return memberName(node);
  if (ts.isNewExpression(node) && node.expression.getText() === "Date" && (node.arguments?.length ?? 0) === 0) {
    return "new Date()";
  }
  return ts.isImportDeclaration(node) ? importedName(node) : undefined;
}

/** True for `b` in `a.b` and in `{ b: 1 }`, unless `a` is the global object. */
function isMemberName(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent))
    return parent.name === node && parent.expression.getText() !== "globalThis";
  return (
    (ts.isPropertyAssignment(parent) || ts.isMethodDeclaration(parent) || ts.isMethodSignature(parent)) &&
    parent.name === node
  );
}

function memberName(node: ts.PropertyAccessExpression | ts.QualifiedName): string | undefined {
  const object = ts.isQualifiedName(node) ? node.left : node.expression;
  const property = ts.isQualifiedName(node) ? node.right.text : node.name.text;
  const owner = object.getText().replace(/^globalThis\./, "");
  return Object.hasOwn(members, owner) && members[owner]?.test(property) ? `${owner}.${property}` : undefined;
}

function importedName(node: ts.ImportDeclaration): string | undefined {
  const specifier = (node.moduleSpecifier as ts.StringLiteral).text;
  const counted = modules[specifier.startsWith("node:") ? specifier : `node:${specifier}`];
  const bindings = node.importClause?.namedBindings;
  if (counted === undefined || node.importClause === undefined) return undefined;
  if (counted.test("*any*")) return specifier;
  if (bindings === undefined || !ts.isNamedImports(bindings)) return undefined;
  const found = bindings.elements.find((element) => counted.test((element.propertyName ?? element.name).text));
  return found === undefined ? undefined : `${specifier} ${(found.propertyName ?? found.name).text}`;
}
