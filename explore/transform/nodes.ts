/**
 * Pieces of syntax that the transform makes, and its complaints.
 */
import ts from "typescript-api";

const { factory } = ts;

export function complain(node: ts.Node, what: string): never {
  const file = node.getSourceFile();
  const { line } = file.getLineAndCharacterOfPosition(node.getStart());
  throw new Error(`${file.fileName}:${line + 1}: ${what}: ${node.getText().split("\n")[0]}`);
}

export function call(name: string, ...taken: ts.Expression[]): ts.CallExpression {
  return factory.createCallExpression(factory.createIdentifier(name), undefined, taken);
}

export function delegated(value: ts.Expression): ts.Expression {
  return factory.createParenthesizedExpression(
    factory.createYieldExpression(factory.createToken(ts.SyntaxKind.AsteriskToken), value),
  );
}

export function generator(body: ts.Block): ts.FunctionExpression {
  const star = factory.createToken(ts.SyntaxKind.AsteriskToken);
  return factory.createFunctionExpression(undefined, star, undefined, undefined, [], undefined, body);
}

export function temporary(): ts.Statement {
  return factory.createVariableStatement(
    undefined,
    factory.createVariableDeclarationList([factory.createVariableDeclaration("t$")], ts.NodeFlags.Let),
  );
}

export function methodName(
  kind: "get" | "set",
  name: ts.PropertyName | ts.MemberName,
): ts.Identifier | ts.PrivateIdentifier {
  if (ts.isPrivateIdentifier(name)) return factory.createPrivateIdentifier(`#${kind}$${name.text.slice(1)}`);
  if (!ts.isIdentifier(name)) return complain(name, "an accessor has a plain name");
  return factory.createIdentifier(`${kind}$${name.text}`);
}

export function isAssignment(kind: ts.SyntaxKind): boolean {
  return kind >= ts.SyntaxKind.FirstAssignment && kind <= ts.SyntaxKind.LastAssignment;
}
