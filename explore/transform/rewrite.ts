/**
 * Writes one source file so that it can be stopped at every scheduling point: functions that may reach one become generators, their
 * calls are delegated to, async functions run on promises of the runtime, atomic operations and steps of the page words ask the
 * runtime whether to go on.
 *
 * What a generator yields: `undefined` where another thread is to run; the runtime's mark where it awaits something. An operation
 * that is not done answers `$switch`, and is done by `$again` when the thread goes on. Names with `$` are the runtime's
 * (../runtime/machine.ts).
 *
 * Invariants: order of evaluation and what functions answer stay as they are. A construct that is not known here throws with file
 * and line; nothing is passed on unread.
 *
 * See also: colors.ts (which functions), functions.ts (how), emit.ts (files).
 */
import ts from "typescript-api";
import type { Colors } from "./colors.js";
import { inlined } from "./constants.js";
import { Functions } from "./functions.js";
import { Lifting } from "./lift.js";
import { call, complain, delegated, isAssignment, methodName, nowLeaf } from "./nodes.js";

const { factory } = ts;

/** What the globals are in place of which the runtime puts its own. */
const ownGlobals: ReadonlySet<string> = new Set([
  "Promise",
  "AbortController",
  "AbortSignal",
  "WebAssembly",
  "SharedArrayBuffer",
  "WeakMap",
  "queueMicrotask",
]);

export interface Sites {
  /** The number of a place in the sources. */
  numberOf(node: ts.Node): number;
}

export class Rewriter {
  readonly #colors: Colors;
  readonly #sites: Sites;
  readonly #context: ts.TransformationContext;
  /** Whether the function that is being written is a generator. */
  #stops = false;
  /** It is a leaf: its operation's answer is its own. */
  #isLeaf = false;
  /** It is a generator in the source, too. */
  #isIterator = false;

  readonly #functions: Functions;

  constructor(colors: Colors, sites: Sites, context: ts.TransformationContext, file: ts.SourceFile) {
    this.#colors = colors;
    this.#sites = sites;
    this.#context = context;
    this.#functions = new Functions(colors, new Lifting(colors.checker, file), {
      children: (node) => this.#children(node),
      expression: (node) => this.#expression(node),
      leaf: (node) => this.#leaf(node),
      within: (stops, isIterator, work) => this.#within(stops, isIterator, work),
    });
  }

  file(node: ts.SourceFile): ts.SourceFile {
    const made = ts.visitEachChild(node, this.#visit, this.#context);
    return factory.updateSourceFile(made, [...made.statements, ...this.#functions.moved]);
  }

  readonly #visit = (node: ts.Node): ts.Node | ts.Node[] => {
    if (ts.isTypeNode(node) || ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) return node;
    if (ts.isFunctionLike(node) && "body" in node) return this.#functions.write(node);
    if (ts.isClassLike(node)) return this.#functions.class(node);
    if (ts.isPropertyDeclaration(node)) return this.#within(false, false, () => this.#children(node));
    if (ts.isAwaitExpression(node)) return this.#await(node);
    if (ts.isMetaProperty(node)) return factory.createIdentifier("$meta");
    if (ts.isCallExpression(node)) return this.#call(node);
    if (ts.isNewExpression(node)) return this.#new(node);
    if (ts.isPropertyAccessExpression(node)) return this.#property(node);
    if (ts.isElementAccessExpression(node)) return this.#element(node);
    if (ts.isBinaryExpression(node)) return this.#binary(node);
    if (ts.isForOfStatement(node)) return this.#forOf(node);
    if (ts.isSpreadElement(node)) return this.#spread(node);
    if (ts.isYieldExpression(node)) return this.#yield(node);
    if (ts.isPrefixUnaryExpression(node) || ts.isPostfixUnaryExpression(node)) this.#refuseUpdate(node);
    if (ts.isIdentifier(node)) return this.#identifier(node);
    if (ts.isShorthandPropertyAssignment(node)) return node;
    return this.#children(node);
  };

  #children<T extends ts.Node>(node: T): T {
    return ts.visitEachChild(node, this.#visit, this.#context);
  }

  #expression(node: ts.Expression): ts.Expression {
    return ts.visitNode(node, this.#visit) as ts.Expression;
  }

  #within<T>(stops: boolean, isIterator: boolean, work: () => T): T {
    const before = [this.#stops, this.#isIterator] as const;
    this.#stops = stops;
    this.#isIterator = isIterator;
    try {
      return work();
    } finally {
      [this.#stops, this.#isIterator] = before;
    }
  }

  // Expressions.

  #leaf(node: ts.Expression): ts.Expression {
    this.#isLeaf = true;
    try {
      return this.#expression(node);
    } finally {
      this.#isLeaf = false;
    }
  }

  /** A call of a leaf: its caller is where it happens. */
  #runLeaf(made: ts.Expression, node: ts.Node): ts.Expression {
    if (this.#isLeaf) return made;
    if (!this.#stops) return nowLeaf(made);
    const site = factory.createNumericLiteral(this.#sites.numberOf(node));
    return this.#unlessSwitched(factory.createComma(call("$at", site), made));
  }

  /** What answers that it was not done is done when the thread goes on. */
  #unlessSwitched(made: ts.Expression): ts.Expression {
    const kept = factory.createParenthesizedExpression(
      factory.createAssignment(factory.createIdentifier("t$"), factory.createParenthesizedExpression(made)),
    );
    return factory.createParenthesizedExpression(
      factory.createConditionalExpression(
        factory.createStrictEquality(kept, factory.createIdentifier("$switch")),
        undefined,
        delegated(call("$again")),
        undefined,
        factory.createIdentifier("t$"),
      ),
    );
  }

  #identifier(node: ts.Identifier): ts.Node {
    if (!ownGlobals.has(node.text) || (ts.isPropertyAccessExpression(node.parent) && node.parent.name === node))
      return node;
    if (ts.isPropertyAssignment(node.parent) && node.parent.name === node) return node;
    return factory.createPropertyAccessExpression(factory.createIdentifier("$own"), node.text);
  }

  #await(node: ts.AwaitExpression): ts.Expression {
    if (!this.#stops) return complain(node, "await outside of an async function");
    const waited = call("$await", this.#expression(node.expression));
    return factory.createParenthesizedExpression(factory.createYieldExpression(undefined, waited));
  }

  #yield(node: ts.YieldExpression): ts.Expression {
    const value = node.expression ? this.#expression(node.expression) : factory.createIdentifier("undefined");
    if (node.asteriskToken) return complain(node, "delegation in a generator of the sources");
    if (!this.#isIterator) return factory.updateYieldExpression(node, undefined, value);
    return factory.createYieldExpression(undefined, call("$item", value));
  }

  /** A generator's answer: delegated to where this function can be stopped, else run at once. */
  #run(value: ts.Expression): ts.Expression {
    return this.#stops ? delegated(value) : call("$now", value);
  }

  /** The same for what may be a generator or not. */
  #runUnknown(value: ts.Expression): ts.Expression {
    if (!this.#stops) return call("$nowIfAny", value);
    const kept = factory.createParenthesizedExpression(factory.createAssignment(factory.createIdentifier("t$"), value));
    const test = call("$isGenerator", kept);
    const run = delegated(factory.createIdentifier("t$"));
    const otherwise = this.#unlessSwitched(factory.createIdentifier("t$"));
    return factory.createParenthesizedExpression(
      factory.createConditionalExpression(test, undefined, run, undefined, otherwise),
    );
  }

  /** An operation that may answer that it was not done. */
  #runPoint(name: string, taken: readonly ts.Expression[]): ts.Expression {
    if (this.#isLeaf) return call(name, ...taken);
    if (!this.#stops) return call("$atOnce", factory.createIdentifier(name), ...taken);
    return this.#unlessSwitched(call(name, ...taken));
  }

  #call(node: ts.CallExpression): ts.Expression {
    const site = () => factory.createNumericLiteral(this.#sites.numberOf(node));
    const taken = () => node.arguments.map((argument) => this.#expression(argument));
    const operation = this.#colors.atomicOperation(node);
    if (operation !== undefined) return this.#runPoint(`$${operation}`, [site(), ...taken()]);
    const method = this.#colors.bytesMethod(node);
    if (method !== undefined) {
      const target = this.#expression((node.expression as ts.PropertyAccessExpression).expression);
      const all = [site(), factory.createStringLiteral(method), target, ...taken()];
      return this.#stops ? this.#runPoint("$bytes", all) : call("$bytesAtOnce", ...all);
    }
    const callee = this.#colors.callee(node);
    if (callee.kind === "step") return this.#runPoint("$step", [site(), this.#expression(node.expression), ...taken()]);
    if (callee.kind === "native") return this.#nativeCall(node);
    const isStopped = this.#colors.stopsCall(node);
    const made = this.#children(node);
    if (!isStopped) return made;
    if (this.#colors.isLeafCall(node)) return this.#runLeaf(made, node);
    const isChain = ts.isOptionalChain(node);
    return callee.kind === "function" && !isChain ? this.#run(made) : this.#runUnknown(made);
  }

  #nativeCall(node: ts.CallExpression): ts.Expression {
    const name = this.#colors.arrayCallback(node);
    if (name !== undefined) {
      const { expression } = node.expression as ts.PropertyAccessExpression;
      const taken = node.arguments.map((argument) => this.#expression(argument));
      const [list, work] = taken;
      if (name === "from" && list && work) {
        const made = factory.updateCallExpression(node, this.#expression(node.expression), undefined, [list]);
        return this.#run(call("$map", made, work));
      }
      return this.#run(call(`$${name}`, this.#expression(expression), ...taken));
    }
    if (this.#colors.isNativeTaker(node) || !node.arguments.some((argument) => this.#colors.mayStop(argument)))
      return this.#children(node);
    const taken = node.arguments.map((argument) => {
      const made = this.#expression(argument);
      return this.#colors.mayStop(argument) ? call("$native", made) : made;
    });
    return factory.updateCallExpression(node, this.#expression(node.expression), undefined, taken);
  }

  #new(node: ts.NewExpression): ts.Expression {
    if (!this.#colors.isStoppedPromise(node)) return this.#children(node);
    return this.#run(
      call("$promise", this.#expression((node.arguments as ts.NodeArray<ts.Expression>)[0] as ts.Expression)),
    );
  }

  #property(node: ts.PropertyAccessExpression): ts.Expression {
    const constant = inlined(node, this.#colors.checker);
    if (constant !== undefined) return constant;
    if (this.#colors.accessor(node) !== "get") return this.#children(node);
    const name = methodName("get", node.name);
    const object = this.#expression(node.expression);
    if (!ts.isOptionalChain(node)) {
      const made = factory.createCallExpression(factory.createPropertyAccessExpression(object, name), undefined, []);
      return this.#colors.isLeafAccess(node) ? this.#runLeaf(made, node) : this.#run(made);
    }
    const chain = factory.createPropertyAccessChain(object, node.questionDotToken, name);
    return this.#runUnknown(factory.createCallChain(chain, undefined, undefined, []));
  }

  /** A plain look at a word that other threads may see. */
  #element(node: ts.ElementAccessExpression): ts.Expression {
    if (!this.#colors.isSharedWord(node)) return this.#children(node);
    return this.#runPoint("$peek", [
      factory.createNumericLiteral(this.#sites.numberOf(node)),
      this.#expression(node.expression),
      this.#expression(node.argumentExpression),
    ]);
  }

  #binary(node: ts.BinaryExpression): ts.Expression {
    const assigns = isAssignment(node.operatorToken.kind);
    if (assigns && ts.isElementAccessExpression(node.left) && this.#colors.isSharedWord(node.left))
      return this.#poke(node, node.left);
    if (!ts.isPropertyAccessExpression(node.left) || this.#colors.accessor(node.left) !== "set")
      return this.#children(node);
    const { operatorToken, left, right } = node;
    if (operatorToken.kind !== ts.SyntaxKind.EqualsToken)
      return complain(node, "an accessor that can be stopped is only set");
    if (!ts.isExpressionStatement(node.parent)) return complain(node, "such an assignment is a statement");
    const name = methodName("set", left.name);
    const at = factory.createPropertyAccessExpression(this.#expression(left.expression), name);
    return this.#run(factory.createCallExpression(at, undefined, [this.#expression(right)]));
  }

  /** A plain store to such a word. */
  #poke(node: ts.BinaryExpression, target: ts.ElementAccessExpression): ts.Expression {
    if (node.operatorToken.kind !== ts.SyntaxKind.EqualsToken)
      return complain(node, "a shared word is only read or set");
    return this.#runPoint("$poke", [
      factory.createNumericLiteral(this.#sites.numberOf(node)),
      this.#expression(target.expression),
      this.#expression(target.argumentExpression),
      this.#expression(node.right),
    ]);
  }

  #refuseUpdate(node: ts.PrefixUnaryExpression | ts.PostfixUnaryExpression): void {
    if (
      ts.isPropertyAccessExpression(node.operand) &&
      this.#colors.accessor(node.operand) !== undefined &&
      node.operator !== ts.SyntaxKind.ExclamationToken &&
      node.operator !== ts.SyntaxKind.MinusToken
    )
      complain(node, "an accessor that can be stopped is only read or set");
  }

  // Iteration.

  #forOf(node: ts.ForOfStatement): ts.Statement {
    if (node.awaitModifier)
      return factory.createThrowStatement(call("$unexplored", factory.createStringLiteral("for await")));
    if (!this.#stops || !this.#colors.isForeignIteration(node.expression)) return this.#children(node);
    if (!ts.isVariableDeclarationList(node.initializer)) return complain(node, "a loop declares its variable");
    const [declaration] = node.initializer.declarations;
    if (declaration === undefined) return complain(node, "a loop declares its variable");
    const seen = factory.createUniqueName("seen");
    const pass = factory.createIfStatement(
      factory.createStrictEquality(seen, factory.createIdentifier("undefined")),
      factory.createBlock([
        factory.createExpressionStatement(
          factory.createYieldExpression(undefined, factory.createIdentifier("undefined")),
        ),
        factory.createContinueStatement(),
      ]),
    );
    const bound = factory.createVariableStatement(
      undefined,
      factory.createVariableDeclarationList(
        [factory.createVariableDeclaration(declaration.name, undefined, undefined, call("$itemOf", seen))],
        ts.NodeFlags.Const,
      ),
    );
    const body = ts.visitNode(node.statement, this.#visit) as ts.Statement;
    const list = factory.createVariableDeclarationList([factory.createVariableDeclaration(seen)], ts.NodeFlags.Const);
    const source = this.#expression(node.expression);
    return factory.createForOfStatement(undefined, list, source, factory.createBlock([pass, bound, body], true));
  }

  #spread(node: ts.SpreadElement): ts.Expression {
    const value = this.#expression(node.expression);
    if (!this.#colors.isForeignIteration(node.expression)) return factory.updateSpreadElement(node, value);
    return factory.createSpreadElement(this.#run(call("$collect", value)));
  }
}
