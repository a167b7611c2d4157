/**
 * Constants of the layout, written where they are used: to look them up in their module at each use would take longer than many
 * of the functions that use them.
 */
import ts from "typescript-api";
import { shortTables } from "./short-tables.js";

/** The number that `layout.NAME` stands for. */
export function inlined(node: ts.PropertyAccessExpression, checker: ts.TypeChecker): ts.Expression | undefined {
  if (!ts.isIdentifier(node.expression) || node.expression.text !== "layout") return undefined;
  const value = constantOf(node.name, checker);
  if (value === undefined) return undefined;
  const literal = ts.factory.createNumericLiteral(Math.abs(value));
  if (value >= 0) return literal;
  return ts.factory.createParenthesizedExpression(ts.factory.createPrefixMinus(literal));
}

function constantOf(name: ts.Node, checker: ts.TypeChecker): number | undefined {
  let symbol = checker.getSymbolAtLocation(name);
  if (symbol && symbol.flags & ts.SymbolFlags.Alias) symbol = checker.getAliasedSymbol(symbol);
  const declaration = symbol?.valueDeclaration;
  if (!declaration || !ts.isVariableDeclaration(declaration) || !declaration.initializer) return undefined;
  const short = (shortTables as Readonly<Record<string, number>>)[declaration.name.getText()];
  return short ?? numberOf(declaration.initializer, checker);
}

function numberOf(node: ts.Expression, checker: ts.TypeChecker): number | undefined {
  if (ts.isNumericLiteral(node)) return Number(node.text);
  if (ts.isIdentifier(node)) return constantOf(node, checker);
  if (ts.isParenthesizedExpression(node)) return numberOf(node.expression, checker);
  if (ts.isPrefixUnaryExpression(node) && node.operator === ts.SyntaxKind.MinusToken) {
    const value = numberOf(node.operand, checker);
    return value === undefined ? undefined : -value;
  }
  if (!ts.isBinaryExpression(node)) return undefined;
  const left = numberOf(node.left, checker);
  const right = numberOf(node.right, checker);
  if (left === undefined || right === undefined) return undefined;
  if (node.operatorToken.kind === ts.SyntaxKind.PlusToken) return left + right;
  if (node.operatorToken.kind === ts.SyntaxKind.AsteriskToken) return left * right;
  return undefined;
}
