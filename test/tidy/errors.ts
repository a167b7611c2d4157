/** The one table of errors, against its uses in src/ and its copy in docs/errors.md. */
import ts from "typescript-api";
import { complain, parse, sourcesBelow, type TreeFile, walk } from "./tree.js";

/** Every literal code given to `new PinfoldError(...)` stands in the table. */
export function checkErrorCodes(files: readonly TreeFile[], table: Readonly<Record<string, string>>): string[] {
  return sourcesBelow(files, "src").flatMap((file) => {
    const source = parse(file);
    const complaints: string[] = [];
    walk(source, (node) => {
      if (!ts.isNewExpression(node) || node.expression.getText() !== "PinfoldError") return;
      const code = node.arguments?.[0];
      for (const literal of code === undefined ? [] : resultsOf(code)) {
        if (Object.hasOwn(table, literal.text)) continue;
        complaints.push(complain(source, literal, `${literal.text} is not in the table of src/base/errors.ts`));
      }
    });
    return complaints;
  });
}

/** The literals that an expression can come out as: itself, or the arms of a condition. */
function resultsOf(node: ts.Expression): ts.StringLiteralLike[] {
  if (ts.isStringLiteralLike(node)) return [node];
  if (ts.isParenthesizedExpression(node)) return resultsOf(node.expression);
  return ts.isConditionalExpression(node) ? [...resultsOf(node.whenTrue), ...resultsOf(node.whenFalse)] : [];
}

/** Rows of docs/errors.md, "| `CODE` | advice |", are the table's entries, in its order. */
export function checkErrorPage(page: TreeFile | undefined, table: Readonly<Record<string, string>>): string[] {
  if (page === undefined) return ["docs/errors.md: is missing"];
  const rows = page.text.split("\n").filter((line) => /^\| `[A-Z]/.test(line));
  const wanted = Object.entries(table).map(([code, advice]) => `| \`${code}\` | ${advice} |`);
  const missing = wanted.filter((row) => !rows.includes(row)).map((row) => `${page.path}: has no row ${row}`);
  const extra = rows.filter((row) => !wanted.includes(row)).map((row) => `${page.path}: has a row of its own: ${row}`);
  if (missing.length > 0 || extra.length > 0) return [...missing, ...extra];
  return rows.join("\n") === wanted.join("\n")
    ? []
    : [`${page.path}: rows repeat or stand in another order than the table`];
}
