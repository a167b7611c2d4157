/**
 * Which functions of the sources can be stopped at a scheduling point, so that they have to become generators.
 *
 * A function is *stoppable* if it may reach an atomic operation, a step of the page words, an await, or a function value that is not
 * known here: by itself, or by what it calls. What an interface's method is called for is taken from all functions of
 * that name. Too many stoppable functions cost time; one too few would run without being stopped, which the runtime notices
 * (`now` in ../runtime/machine.ts counts what it had to run at once).
 *
 * See also: rewrite.ts, which writes them.
 */
import ts from "typescript-api";

/** What a call calls. */
export type Callee =
  | { readonly kind: "native" }
  /** A function of the sources. */
  | { readonly kind: "function"; readonly declaration: ts.FunctionLikeDeclaration }
  /** A method of an interface: whichever function of that name. */
  | { readonly kind: "named"; readonly name: string }
  /** An export of the page words' module. */
  | { readonly kind: "step" }
  | { readonly kind: "unknown" };

const arrayCallbacks: ReadonlySet<string> = new Set([
  "map",
  "filter",
  "some",
  "every",
  "forEach",
  "find",
  "findIndex",
  "flatMap",
  "reduce",
]);
const bytesMethods: ReadonlySet<string> = new Set(["set", "fill", "copyWithin"]);
/** Native calls that may be given a function which can be stopped: the runtime has its own of these, or they only keep it. */
const nativeTakers: ReadonlySet<string> = new Set([
  "then",
  "catch",
  "finally",
  "addEventListener",
  "removeEventListener",
  "queueMicrotask",
  "push",
  "unshift",
  "set",
  "add",
]);

export class Colors {
  readonly checker: ts.TypeChecker;
  readonly #stoppable = new Set<ts.Node>();
  readonly #leaves = new Set<ts.Node>();
  /** Functions by the names of their methods and properties. */
  readonly #byName = new Map<string, ts.FunctionLikeDeclaration[]>();
  readonly #isOurs: (file: ts.SourceFile) => boolean;

  constructor(program: ts.Program, isOurs: (file: ts.SourceFile) => boolean) {
    this.checker = program.getTypeChecker();
    this.#isOurs = isOurs;
    const functions: ts.FunctionLikeDeclaration[] = [];
    for (const file of program.getSourceFiles()) {
      if (isOurs(file)) this.#gather(file, functions);
    }
    this.#settle(functions, this.#stoppable, (item) => this.#isStopped(item));
    this.#settle(functions, this.#leaves, (item) => this.#stoppable.has(item) && this.#endsInOne(item));
  }

  /** Whether a function has to become a generator. */
  isStoppable(node: ts.Node): boolean {
    return this.#stoppable.has(node);
  }

  #gather(node: ts.Node, into: ts.FunctionLikeDeclaration[]): void {
    if (ts.isFunctionLike(node) && "body" in node && node.body) {
      into.push(node);
      const name = nameOf(node);
      if (name !== undefined) {
        const known = this.#byName.get(name);
        if (known) known.push(node);
        else this.#byName.set(name, [node]);
      }
    }
    ts.forEachChild(node, (child) => this.#gather(child, into));
  }

  /**
   * Whether a function does one operation, as the last thing, and nothing else that can be stopped: it needs no generator, and answers
   * that the operation was not done, where it was not.
   */
  isLeaf(node: ts.Node): boolean {
    return this.#leaves.has(node);
  }

  /** Goes over the functions until there are no more of a kind. */
  #settle(
    functions: readonly ts.FunctionLikeDeclaration[],
    found: Set<ts.Node>,
    isOne: (item: ts.FunctionLikeDeclaration) => boolean,
  ): void {
    for (let round = 0; round < functions.length; round++) {
      const before = found.size;
      for (const item of functions) if (!found.has(item) && isOne(item)) found.add(item);
      if (found.size === before) return;
    }
  }

  #endsInOne(item: ts.FunctionLikeDeclaration): boolean {
    const { body } = item;
    if (isAsync(item) || ("asteriskToken" in item && item.asteriskToken)) return false;
    const isNamed = ts.isMethodDeclaration(item) || ts.isFunctionDeclaration(item) || ts.isGetAccessorDeclaration(item);
    if (!isNamed || !body || !ts.isBlock(body) || body.statements.length !== 1) return false;
    const [last] = body.statements;
    if (!last || !(ts.isReturnStatement(last) || ts.isExpressionStatement(last)) || !last.expression) return false;
    const operation = bare(last.expression);
    const reaches = (node: ts.Node): boolean =>
      this.stops(node) || (ts.forEachChild(node, (child) => reaches(child)) ?? false);
    const isApart = ts.forEachChild(operation, (child) => reaches(child)) !== true;
    return isApart && !item.parameters.some((parameter) => reaches(parameter)) && this.isOperation(operation);
  }

  /** Whether a node is an operation, or a call of a leaf. */
  isOperation(node: ts.Node): boolean {
    if (ts.isElementAccessExpression(node)) return this.isSharedWord(node);
    if (ts.isPropertyAccessExpression(node)) return !ts.isOptionalChain(node) && this.isLeafAccess(node);
    if (!ts.isCallExpression(node) || ts.isOptionalChain(node)) return false;
    return this.atomicOperation(node) !== undefined || this.callee(node).kind === "step" || this.isLeafCall(node);
  }

  isLeafCall(node: ts.CallExpression): boolean {
    const callee = this.callee(node);
    return callee.kind === "function" && this.#leaves.has(callee.declaration) && !ts.isOptionalChain(node);
  }

  isLeafAccess(node: ts.PropertyAccessExpression): boolean {
    if (this.accessor(node) !== "get") return false;
    const symbol = this.checker.getSymbolAtLocation(node.name);
    return symbol?.declarations?.some((one) => this.#leaves.has(one)) ?? false;
  }

  #isStopped(item: ts.FunctionLikeDeclaration): boolean {
    if (ts.isConstructorDeclaration(item)) return false;
    if (isAsync(item)) return true;
    const visit = (node: ts.Node): boolean => {
      if (node !== item && ts.isFunctionLike(node)) return false;
      if (this.stops(node)) return true;
      return ts.forEachChild(node, visit) ?? false;
    };
    return item.parameters.some((parameter) => visit(parameter)) || (item.body !== undefined && visit(item.body));
  }

  /** Whether this very node, its children apart, may reach a scheduling point. */
  stops(node: ts.Node): boolean {
    if (ts.isAwaitExpression(node)) return true;
    if (ts.isCallExpression(node)) return this.stopsCall(node);
    if (ts.isNewExpression(node)) return this.isStoppedPromise(node);
    if (ts.isPropertyAccessExpression(node)) return this.accessor(node) !== undefined;
    if (ts.isElementAccessExpression(node)) return this.isSharedWord(node);
    if (ts.isForOfStatement(node) || ts.isSpreadElement(node)) return this.isForeignIteration(node.expression);
    return false;
  }

  stopsCall(node: ts.CallExpression): boolean {
    if (this.atomicOperation(node) !== undefined || this.bytesMethod(node) !== undefined) return true;
    // What it answers is gone through later: that is where it stops.
    if (this.#mayYield(this.checker.getTypeAtLocation(node))) return false;
    const callee = this.callee(node);
    if (callee.kind === "function") return this.#stoppable.has(callee.declaration);
    if (callee.kind === "named") return this.#byName.get(callee.name)?.some((one) => this.#stoppable.has(one)) ?? false;
    if (callee.kind === "native") return this.arrayCallback(node) !== undefined;
    return true;
  }

  /** The name of an operation of Atomics. */
  atomicOperation(node: ts.CallExpression): string | undefined {
    const { expression } = node;
    if (!ts.isPropertyAccessExpression(expression) || !ts.isIdentifier(expression.expression)) return undefined;
    if (expression.expression.text !== "Atomics") return undefined;
    return expression.name.text;
  }

  /** The name of a method that changes a Uint8Array: its bytes may be those of a frame, or be copied from one. */
  bytesMethod({ expression }: ts.CallExpression): string | undefined {
    if (!ts.isPropertyAccessExpression(expression) || !bytesMethods.has(expression.name.text)) return undefined;
    const isBytes = this.checker.getTypeAtLocation(expression.expression).symbol?.name === "Uint8Array";
    return isBytes ? expression.name.text : undefined;
  }

  /** An element of an Int32Array: a word that other threads may see, by a plain access. */
  isSharedWord(node: ts.ElementAccessExpression): boolean {
    return this.checker.getTypeAtLocation(node.expression).symbol?.name === "Int32Array";
  }

  /** `new Promise(executor)` whose executor can be stopped. */
  isStoppedPromise(node: ts.NewExpression): boolean {
    if (!ts.isIdentifier(node.expression) || node.expression.text !== "Promise") return false;
    const [executor] = node.arguments ?? [];
    return executor !== undefined && ts.isFunctionLike(executor) && this.#stoppable.has(executor);
  }

  /** The method's name, for Array.from and an array's method that is given a function which can be stopped. */
  arrayCallback(node: ts.CallExpression): string | undefined {
    const { expression } = node;
    if (!ts.isPropertyAccessExpression(expression)) return undefined;
    const name = expression.name.text;
    const isFrom = name === "from" && ts.isIdentifier(expression.expression) && expression.expression.text === "Array";
    if (!isFrom && !arrayCallbacks.has(name)) return undefined;
    const callback = node.arguments[isFrom ? 1 : 0];
    return callback !== undefined && this.mayStop(callback) ? name : undefined;
  }

  /** Whether a value may be a function that can be stopped. */
  mayStop(value: ts.Expression): boolean {
    if (ts.isFunctionLike(value)) return this.#stoppable.has(value);
    const type = this.checker.getTypeAtLocation(value);
    const [signature] = type.getCallSignatures();
    const declaration = signature?.declaration;
    if (declaration === undefined || !this.#isOurs(declaration.getSourceFile())) return false;
    return "body" in declaration && declaration.body ? this.#stoppable.has(declaration) : true;
  }

  isNativeTaker(node: ts.CallExpression): boolean {
    const { expression } = node;
    if (ts.isIdentifier(expression)) return nativeTakers.has(expression.text);
    return ts.isPropertyAccessExpression(expression) && nativeTakers.has(expression.name.text);
  }

  callee(node: ts.CallExpression): Callee {
    if (node.expression.kind === ts.SyntaxKind.SuperKeyword) return { kind: "native" };
    const declaration = this.checker.getResolvedSignature(node)?.declaration;
    if (declaration === undefined) return { kind: "unknown" };
    const file = declaration.getSourceFile();
    if (!this.#isOurs(file)) return abortsSomething(node) ? { kind: "unknown" } : { kind: "native" };
    if ("body" in declaration && declaration.body) return { kind: "function", declaration };
    const implementation = this.#implementation(declaration as ts.SignatureDeclaration);
    if (implementation) return { kind: "function", declaration: implementation };
    if (ts.isMethodSignature(declaration)) {
      const { parent, name } = declaration;
      const owner = ts.isInterfaceDeclaration(parent) ? parent.name.text : "";
      if (owner === "Words") return { kind: "step" };
      if (owner === "Store" || file.fileName.includes("/explore/")) return { kind: "unknown" };
      return { kind: "named", name: name.getText() };
    }
    return { kind: "unknown" };
  }

  /** Of an overload, or a method without a body, the function that is called. */
  #implementation(declaration: ts.SignatureDeclaration): ts.FunctionLikeDeclaration | undefined {
    const symbol = declaration.name && this.checker.getSymbolAtLocation(declaration.name);
    const found = symbol?.declarations?.find((one) => ts.isFunctionLike(one) && "body" in one && one.body);
    return found as ts.FunctionLikeDeclaration | undefined;
  }

  /** The name of an accessor that can be stopped, with "get" or "set". */
  accessor(node: ts.PropertyAccessExpression): "get" | "set" | undefined {
    const symbol = this.checker.getSymbolAtLocation(node.name);
    if (symbol === undefined || (symbol.flags & ts.SymbolFlags.Accessor) === 0) return undefined;
    const isTarget =
      ts.isBinaryExpression(node.parent) &&
      node.parent.left === node &&
      node.parent.operatorToken.kind >= ts.SyntaxKind.FirstAssignment &&
      node.parent.operatorToken.kind <= ts.SyntaxKind.LastAssignment;
    const found = symbol.declarations?.find((one) =>
      isTarget ? ts.isSetAccessorDeclaration(one) : ts.isGetAccessorDeclaration(one),
    );
    if (found === undefined || !this.#stoppable.has(found)) return undefined;
    return isTarget ? "set" : "get";
  }

  /** A class of the sources that can be gone through. */
  #hasOwnIterator(type: ts.Type): boolean {
    const found = this.checker.getPropertiesOfType(type).find(({ name }) => name.startsWith("__@iterator"));
    const declaration = found?.declarations?.[0];
    return declaration !== undefined && this.#isOurs(declaration.getSourceFile());
  }

  /** Whether what is gone through may be a generator of the sources. */
  isForeignIteration(value: ts.Expression): boolean {
    const type = this.checker.getTypeAtLocation(value);
    // Of several types, one is enough: what is no generator's is gone through as it is.
    return (type.isUnion() ? type.types : [type]).some((one) => this.#mayYield(one));
  }

  #mayYield(type: ts.Type): boolean {
    const name = type.symbol?.name;
    if (this.#hasOwnIterator(type)) return true;
    return name !== undefined && ["Iterable", "IterableIterator", "Generator", "IteratorObject"].includes(name);
  }
}

function bare(node: ts.Expression): ts.Expression {
  const isWrapped = ts.isParenthesizedExpression(node) || ts.isAsExpression(node) || ts.isNonNullExpression(node);
  return isWrapped ? bare(node.expression) : node;
}

export function isAsync(node: ts.Node): boolean {
  return (
    ts.canHaveModifiers(node) && (node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.AsyncKeyword) ?? false)
  );
}

function nameOf(node: ts.FunctionLikeDeclaration): string | undefined {
  if (node.name && (ts.isIdentifier(node.name) || ts.isPrivateIdentifier(node.name))) return node.name.text;
  const { parent } = node;
  if (ts.isPropertyAssignment(parent) || ts.isPropertyDeclaration(parent)) return parent.name.getText();
  return undefined;
}

/** `controller.abort()` runs listeners. */
function abortsSomething({ expression }: ts.CallExpression): boolean {
  return ts.isPropertyAccessExpression(expression) && expression.name.text === "abort";
}
