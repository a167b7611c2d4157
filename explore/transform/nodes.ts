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

/** A leaf's operation where nothing can be stopped. */
export function nowLeaf(made: ts.Expression): ts.CallExpression {
  return call("$atOnce", factory.createArrowFunction(undefined, undefined, [], undefined, undefined, made));
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

export function parameterOf(name: string, dots?: ts.DotDotDotToken): ts.ParameterDeclaration {
  return factory.createParameterDeclaration(undefined, dots, name);
}

/** A call, of a function that needs `this` as its own. */
export function called(target: ts.Expression, needsThis: boolean, taken: ts.Expression[]): ts.CallExpression {
  if (!needsThis) return factory.createCallExpression(target, undefined, taken);
  const at = factory.createPropertyAccessExpression(target, "call");
  return factory.createCallExpression(at, undefined, [factory.createThis(), ...taken]);
}

/** The body of an async function that stays where it is. */
export function asyncBody(body: ts.Block): ts.Block {
  const run = called(factory.createParenthesizedExpression(generator(body)), true, []);
  return factory.createBlock([factory.createReturnStatement(delegated(call("$async", run)))], true);
}

/** A function of the same kind as `node`, arrows apart. */
export function functionLike(
  node: ts.FunctionLikeDeclaration,
  star: ts.AsteriskToken | undefined,
  name: ts.PropertyName | undefined,
  parameters: readonly ts.ParameterDeclaration[],
  body: ts.Block,
): ts.Node {
  const modifiers = node.modifiers?.filter(({ kind }) => kind !== ts.SyntaxKind.AsyncKeyword) as ts.Modifier[];
  if (ts.isMethodDeclaration(node) && name)
    return factory.createMethodDeclaration(modifiers, star, name, undefined, undefined, parameters, undefined, body);
  const plain = name as ts.Identifier | undefined;
  if (ts.isFunctionDeclaration(node))
    return factory.createFunctionDeclaration(modifiers, star, plain, undefined, parameters, undefined, body);
  if (ts.isFunctionExpression(node))
    return factory.createFunctionExpression(undefined, star, plain, undefined, parameters, undefined, body);
  return complain(node, "a kind of function that is not known here");
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
