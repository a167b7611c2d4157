/** What must not stay in the tree: names of machines and hosts, marks of unfinished work, tests that are switched off. */
import ts from "typescript-api";
import { complain, isTypeScript, parse, type TreeFile, walk } from "./tree.js";

/** Written in two pieces, so that this file does not complain about itself. */
const pieces = (...pairs: [string, string][]): string => pairs.map(([a, b]) => a + b).join("|");

const forbidden: readonly [RegExp, string][] = [
  [
    new RegExp(`\\b(${pieces(["registry", "\\.npm"], ["npm", "js\\.(org|com)"], ["registry", "\\.yarn"])})`),
    "names a registry host",
  ],
  [
    new RegExp(`(^|[^\\w.~-])/(${pieces(["wo", "rk"], ["ro", "ot"], ["ho", "me"], ["Us", "ers"])})/`),
    "names a path of one machine",
  ],
  [new RegExp(`\\b(${pieces(["TO", "DO"], ["FIX", "ME"], ["XX", "X"])})\\b`), "is marked as unfinished"],
];

export function checkLeftovers(files: readonly TreeFile[]): string[] {
  return files.flatMap(({ path, text }) =>
    text
      .split("\n")
      .flatMap((line, index) =>
        forbidden.filter(([pattern]) => pattern.test(line)).map(([, message]) => `${path}:${index + 1}: ${message}`),
      ),
  );
}

const suites = ["test", "it", "describe", "suite"];

/** `.only`, `.todo`, and skips without a reason in a string. */
export function checkSwitchedOff(files: readonly TreeFile[]): string[] {
  return files
    .filter((file) => isTypeScript(file) && /^(test|src|explore|examples)\//.test(file.path))
    .flatMap((file) => {
      const source = parse(file);
      const complaints: string[] = [];
      walk(source, (node) => {
        const message = ts.isCallExpression(node) ? wrongCall(node) : wrongOption(node);
        if (message !== undefined) complaints.push(complain(source, node, message));
      });
      return complaints;
    });
}

function wrongCall(node: ts.CallExpression): string | undefined {
  if (!ts.isPropertyAccessExpression(node.expression)) return undefined;
  const { name, expression: owner } = node.expression;
  const ofSuite = ts.isIdentifier(owner) && suites.includes(owner.text);
  if (ofSuite && (name.text === "only" || name.text === "todo")) return `.${name.text} leaves tests out`;
  if (name.text !== "skip") return undefined;
  if (ofSuite) return "skips without a reason; say { skip: reason }";
  const inTest = ts.isIdentifier(owner) && /^(t|ctx|context)$/.test(owner.text);
  return inTest && node.arguments.length === 0 ? "skips without a reason" : undefined;
}

/** `{ only: true }`, `{ todo: true }`, `{ skip: true }` in the options of a test. */
function wrongOption(node: ts.Node): string | undefined {
  if (!ts.isPropertyAssignment(node) || !ts.isIdentifier(node.name)) return undefined;
  if (!["only", "todo", "skip"].includes(node.name.text)) return undefined;
  if (!ts.isCallExpression(node.parent.parent) || !suites.includes(calleeOf(node.parent.parent))) return undefined;
  return node.initializer.kind === ts.SyntaxKind.TrueKeyword ? `${node.name.text}: true gives no reason` : undefined;
}

function calleeOf(call: ts.CallExpression): string {
  return call.expression.getText().replace(/^.*\./, "");
}
