/**
 * Writes the functions of a file: those that can be stopped become generators, and what they contain is moved out of them where it can
 * be (lift.ts).
 *
 * See also: rewrite.ts (what is in them), colors.ts (which can be stopped).
 */
import ts from "typescript-api";
import { type Colors, isAsync } from "./colors.js";
import { type Lifting, isMadeAnew } from "./lift.js";
import {
  asyncBody,
  call,
  called,
  complain,
  functionLike,
  generator,
  methodName,
  nowLeaf,
  parameterOf,
  temporary,
} from "./nodes.js";

const { factory } = ts;

/** Writes what is in functions. */
export interface Around {
  children<T extends ts.Node>(node: T): T;
  expression(node: ts.Expression): ts.Expression;
  /** The one operation of a leaf. */
  leaf(node: ts.Expression): ts.Expression;
  /** Within a function that can be stopped or not, and is a generator in the source, too, or not. */
  within<T>(stops: boolean, isIterator: boolean, work: () => T): T;
}

export class Functions {
  /** Functions of the file that were functions within functions. */
  readonly moved: ts.Statement[] = [];
  readonly #colors: Colors;
  readonly #lifting: Lifting;
  readonly #around: Around;
  /** The same as private methods of the class that is being written. */
  #privates: ts.ClassElement[] | undefined;
  #count = 0;

  constructor(colors: Colors, lifting: Lifting, around: Around) {
    this.#colors = colors;
    this.#lifting = lifting;
    this.#around = around;
  }

  class(node: ts.ClassLikeDeclaration): ts.Node {
    const outer = this.#privates;
    const own: ts.ClassElement[] = (this.#privates = []);
    const made = this.#around.children(node);
    this.#privates = outer;
    const members = [...made.members, ...own];
    return ts.isClassDeclaration(made)
      ? factory.updateClassDeclaration(made, made.modifiers, made.name, undefined, made.heritageClauses, members)
      : factory.updateClassExpression(made, made.modifiers, made.name, undefined, made.heritageClauses, members);
  }

  write(node: ts.FunctionLikeDeclaration): ts.Node | ts.Node[] {
    if (node.body === undefined) return node;
    if (!this.#colors.isStoppable(node)) return this.#around.within(false, false, () => this.#around.children(node));
    if (ts.isGetAccessorDeclaration(node) || ts.isSetAccessorDeclaration(node)) return this.#accessor(node);
    if (this.#colors.isLeaf(node)) return this.#leaf(node);
    return this.#moved(node) ?? this.#inPlace(node);
  }

  #inPlace(node: ts.FunctionLikeDeclaration): ts.Node {
    const { parameters, defaults } = this.#parameters(node);
    const body = isAsync(node) ? asyncBody(this.#body(node, defaults)) : this.#body(node, defaults);
    const star = factory.createToken(ts.SyntaxKind.AsteriskToken);
    if (!ts.isArrowFunction(node)) return functionLike(node, star, this.#nameOf(node), parameters, body);
    const made = called(factory.createParenthesizedExpression(generator(body)), true, []);
    return factory.createArrowFunction(undefined, undefined, parameters, undefined, undefined, made);
  }

  /** Moves out of a function what is made anew with each call of it, and what an async function does. */
  #moved(node: ts.FunctionLikeDeclaration): ts.Node | undefined {
    if (!isAsync(node) && !isMadeAnew(node)) return undefined;
    const lift = this.#lifting.liftOf(node);
    if (lift === undefined) return undefined;
    const name = `lifted$${this.#count++}`;
    const { parameters, defaults } = this.#parameters(node);
    const taken = [...lift.captured.map((one) => parameterOf(one)), ...parameters];
    const body = this.#body(node, defaults);
    const star = factory.createToken(ts.SyntaxKind.AsteriskToken);
    const isMethod = lift.usesPrivates;
    const ownName = factory.createPrivateIdentifier(`#${name}`);
    if (isMethod)
      this.#privates?.push(
        factory.createMethodDeclaration(undefined, star, ownName, undefined, undefined, taken, undefined, body),
      );
    else this.moved.push(factory.createFunctionDeclaration(undefined, star, name, undefined, taken, undefined, body));
    const given = parameters.map(({ dotDotDotToken }, at) => parameterOf(`p${at}$`, dotDotDotToken));
    const handed = [
      ...lift.captured.map((one) => factory.createIdentifier(one)),
      ...given.map(({ dotDotDotToken }, at) => {
        const value = factory.createIdentifier(`p${at}$`);
        return dotDotDotToken ? factory.createSpreadElement(value) : value;
      }),
    ];
    const target = isMethod
      ? factory.createPropertyAccessExpression(factory.createThis(), factory.createPrivateIdentifier(`#${name}`))
      : factory.createIdentifier(name);
    const made = called(target, lift.usesThis && !isMethod, handed);
    const answer = isAsync(node) ? call("$async", made) : made;
    if (ts.isArrowFunction(node))
      return factory.createArrowFunction(undefined, undefined, given, undefined, undefined, answer);
    const stub = factory.createBlock([factory.createReturnStatement(answer)]);
    return functionLike(node, undefined, this.#nameOf(node), given, stub);
  }

  #nameOf(node: ts.FunctionLikeDeclaration): ts.PropertyName | undefined {
    return node.name && this.#around.children<ts.PropertyName>(node.name);
  }

  /** A generator's parameters are evaluated before it can be stopped, so defaults go into the body. */
  #parameters(node: ts.FunctionLikeDeclaration): {
    parameters: ts.ParameterDeclaration[];
    defaults: ts.Statement[];
  } {
    const defaults: ts.Statement[] = [];
    const parameters = node.parameters.map((parameter) => {
      const { initializer, name } = parameter;
      if (initializer === undefined || !this.#reaches(initializer))
        return this.#around.within(false, false, () => this.#around.children(parameter));
      if (!ts.isIdentifier(name)) return complain(parameter, "a default that can be stopped belongs to a name");
      const value = this.#around.within(true, false, () => this.#around.expression(initializer));
      defaults.push(
        factory.createIfStatement(
          factory.createStrictEquality(name, factory.createIdentifier("undefined")),
          factory.createExpressionStatement(factory.createAssignment(name, value)),
        ),
      );
      return factory.createParameterDeclaration(undefined, parameter.dotDotDotToken, name);
    });
    return { parameters, defaults };
  }

  #reaches(node: ts.Node): boolean {
    if (this.#colors.stops(node)) return true;
    if (ts.isFunctionLike(node)) return false;
    return ts.forEachChild(node, (child) => this.#reaches(child)) ?? false;
  }

  #body(node: ts.FunctionLikeDeclaration, defaults: readonly ts.Statement[]): ts.Block {
    const isIterator = "asteriskToken" in node && node.asteriskToken !== undefined;
    const inner = this.#around.within(true, isIterator, () => {
      const { body } = node;
      if (body === undefined) return complain(node, "a function without a body");
      if (!ts.isBlock(body)) return factory.createBlock([factory.createReturnStatement(this.#around.expression(body))]);
      return this.#around.children(body);
    });
    return factory.createBlock([temporary(), ...defaults, ...inner.statements], true);
  }

  /** No generator: it answers what its operation answers, or that it was not done. */
  #leaf(node: ts.FunctionLikeDeclaration): ts.Node {
    const parameters = node.parameters.map((parameter) => this.#around.children(parameter));
    return functionLike(node, undefined, this.#nameOf(node), parameters, this.#leafBody(node));
  }

  #leafBody({ body }: ts.FunctionLikeDeclaration): ts.Block {
    const [last] = (body as ts.Block).statements;
    const { expression } = last as ts.ReturnStatement | ts.ExpressionStatement;
    const operation = this.#around.leaf(expression as ts.Expression);
    return factory.createBlock([factory.createReturnStatement(operation)], true);
  }

  /** An accessor cannot be stopped: it gets a method beside it, and what still calls the accessor runs at once. */
  #accessor(node: ts.AccessorDeclaration): ts.Node[] {
    const kind = ts.isGetAccessorDeclaration(node) ? "get" : "set";
    const name = methodName(kind, node.name);
    const isLeaf = this.#colors.isLeaf(node);
    const body = isLeaf ? this.#leafBody(node) : this.#body(node, []);
    const modifiers = node.modifiers as ts.Modifier[] | undefined;
    const star = isLeaf ? undefined : factory.createToken(ts.SyntaxKind.AsteriskToken);
    const method = factory.createMethodDeclaration(
      modifiers,
      star,
      name,
      undefined,
      undefined,
      node.parameters,
      undefined,
      body,
    );
    const taken = node.parameters.map((parameter) => parameter.name as ts.Identifier);
    const at = factory.createPropertyAccessExpression(factory.createThis(), name);
    const made = factory.createCallExpression(at, undefined, taken);
    const now = isLeaf ? nowLeaf(made) : call("$now", made);
    if (kind === "get") {
      const answer = factory.createBlock([factory.createReturnStatement(now)]);
      return [method, factory.createGetAccessorDeclaration(modifiers, node.name, [], undefined, answer)];
    }
    const done = factory.createBlock([factory.createExpressionStatement(now)]);
    return [method, factory.createSetAccessorDeclaration(modifiers, node.name, node.parameters, done)];
  }
}
