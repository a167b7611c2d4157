/** What a file imports, in every form that TypeScript has for it. */
import { posix } from "node:path";
import ts from "typescript-api";
import { parse, type TreeFile, walk } from "./tree.js";

export interface Import {
  readonly specifier: string;
  /** Path in the tree, ".ts", for a relative import; undefined for a package or a module of Node. */
  readonly target: string | undefined;
  readonly line: number;
}

/** Imports, re-exports, `import()`, `import("x").Type`, `require`, and `new URL("x", import.meta.url)` (workers). */
export function importsOf(file: TreeFile): Import[] {
  const source = parse(file);
  const imports: Import[] = [];
  walk(source, (node) => {
    const literal = specifierOf(node);
    if (literal === undefined) return;
    const line = source.getLineAndCharacterOfPosition(literal.getStart(source)).line + 1;
    imports.push({ specifier: literal.text, target: targetOf(file.path, literal.text), line });
  });
  return imports;
}

function specifierOf(node: ts.Node): ts.StringLiteralLike | undefined {
  const candidate = candidateOf(node);
  return candidate !== undefined && ts.isStringLiteralLike(candidate) ? candidate : undefined;
}

function candidateOf(node: ts.Node): ts.Node | undefined {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return node.moduleSpecifier;
  if (ts.isImportTypeNode(node)) return ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined;
  if (ts.isCallExpression(node)) {
    const isRequire = ts.isIdentifier(node.expression) && node.expression.text === "require";
    return isRequire || node.expression.kind === ts.SyntaxKind.ImportKeyword ? node.arguments[0] : undefined;
  }
  if (ts.isNewExpression(node) && ts.isIdentifier(node.expression) && node.expression.text === "URL") {
    return node.arguments?.[1]?.getText() === "import.meta.url" ? node.arguments[0] : undefined;
  }
  return undefined;
}

function targetOf(path: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  return posix.join(posix.dirname(path), specifier).replace(/\.js$/, ".ts");
}
