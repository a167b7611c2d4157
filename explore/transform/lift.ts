/**
 * Which functions within functions can be moved out of them: what they capture is handed to them instead.
 *
 * A generator function that is made anew for each call of the function around it costs a hidden class of its own each time it is
 * called first, which took most of a run's time (1.3 us against 24 ns). So its body becomes a function of the file, or a private
 * method where it uses private names, and what stays in its place hands over what it captures.
 *
 * Invariant: only what never changes after its declaration is handed over. A function that captures something else stays where it is.
 *
 * See also: rewrite.ts.
 */
import ts from "typescript-api";
import { isAssignment } from "./nodes.js";

/** How a function is moved. */
export interface Lift {
  /** Variables of the functions around it. */
  readonly captured: readonly string[];
  readonly usesThis: boolean;
  /** It has to be a method of the class around it. */
  readonly usesPrivates: boolean;
}

/** A file's functions. */
export class Lifting {
  readonly #checker: ts.TypeChecker;
  /** Variables that are given another value later. */
  readonly #assigned = new Set<ts.Symbol>();

  constructor(checker: ts.TypeChecker, file: ts.SourceFile) {
    this.#checker = checker;
    this.#gather(file);
  }

  /** Undefined: it has to stay. */
  liftOf(node: ts.FunctionLikeDeclaration): Lift | undefined {
    const captured = new Set<string>();
    const own = new Set<string>();
    const seen = { isFixed: false, usesThis: false, usesPrivates: false };
    const keepsThis = ts.isArrowFunction(node) || ts.isMethodDeclaration(node);
    const visit = (at: ts.Node, hasThis: boolean): void => {
      if (ts.isTypeNode(at)) return;
      if (at.kind === ts.SyntaxKind.SuperKeyword) seen.isFixed = true;
      if (at.kind === ts.SyntaxKind.ThisKeyword && hasThis) seen.usesThis = true;
      if (ts.isPrivateIdentifier(at)) seen.usesPrivates = true;
      if (ts.isIdentifier(at)) {
        const local = this.#localOf(at, node);
        if (at.text === "arguments" || (local !== undefined && this.#assigned.has(local))) seen.isFixed = true;
        else if (local !== undefined) captured.add(at.text);
      }
      const inner = at !== node && ts.isFunctionLike(at) && !ts.isArrowFunction(at);
      ts.forEachChild(at, (child) => visit(child, hasThis && !inner));
    };
    for (const { name } of node.parameters) namesOf(name, own);
    ts.forEachChild(node, (child) => visit(child, keepsThis));
    const clashes = [...captured].some((name) => own.has(name));
    const hasHome = !seen.usesPrivates || isInInstance(node);
    if (seen.isFixed || clashes || !hasHome) return undefined;
    return { captured: [...captured], usesThis: seen.usesThis, usesPrivates: seen.usesPrivates };
  }

  /** The variable of a function around `node`, if this is one. */
  #localOf(name: ts.Identifier, node: ts.FunctionLikeDeclaration): ts.Symbol | undefined {
    const { parent } = name;
    if (ts.isPropertyAccessExpression(parent) && parent.name === name) return undefined;
    const symbol = ts.isShorthandPropertyAssignment(parent)
      ? this.#checker.getShorthandAssignmentValueSymbol(parent)
      : this.#checker.getSymbolAtLocation(name);
    if (symbol === undefined || (symbol.flags & variable) === 0) return undefined;
    const [declaration] = symbol.declarations ?? [];
    if (declaration === undefined || (declaration !== node && isWithin(declaration, node))) return undefined;
    if (!functionAround(declaration.parent)) return undefined;
    // It calls itself, or its variable is not there before it is.
    if (isWithin(node, declaration)) this.#assigned.add(symbol);
    return symbol;
  }

  #gather(node: ts.Node): void {
    if (ts.isBinaryExpression(node) && isAssignment(node.operatorToken.kind)) this.#noteTargets(node.left);
    if (ts.isPrefixUnaryExpression(node) || ts.isPostfixUnaryExpression(node)) {
      const changes = node.operator === ts.SyntaxKind.PlusPlusToken || node.operator === ts.SyntaxKind.MinusMinusToken;
      if (changes) this.#noteTargets(node.operand);
    }
    if ((ts.isForOfStatement(node) || ts.isForInStatement(node)) && !ts.isVariableDeclarationList(node.initializer))
      this.#noteTargets(node.initializer);
    // What is declared without a value gets one later; what a loop declares changes with it.
    if (ts.isVariableDeclaration(node) && ts.isIdentifier(node.name) && node.initializer === undefined) {
      const isOfLoop = ts.isForOfStatement(node.parent.parent) || ts.isForInStatement(node.parent.parent);
      if (!isOfLoop && !ts.isCatchClause(node.parent)) this.#noteTargets(node.name);
    }
    ts.forEachChild(node, (child) => this.#gather(child));
  }

  #noteTargets(target: ts.Node): void {
    if (ts.isPropertyAccessExpression(target) || ts.isElementAccessExpression(target)) return;
    if (ts.isIdentifier(target)) {
      const { parent } = target;
      const symbol = ts.isShorthandPropertyAssignment(parent)
        ? this.#checker.getShorthandAssignmentValueSymbol(parent)
        : this.#checker.getSymbolAtLocation(target);
      if (symbol) this.#assigned.add(symbol);
    }
    ts.forEachChild(target, (child) => this.#noteTargets(child));
  }
}

const variable = ts.SymbolFlags.Variable | ts.SymbolFlags.Function | ts.SymbolFlags.Class;

function namesOf(name: ts.BindingName, into: Set<string>): void {
  if (ts.isIdentifier(name)) into.add(name.text);
  else for (const element of name.elements) if (ts.isBindingElement(element)) namesOf(element.name, into);
}

function isWithin(node: ts.Node, outer: ts.Node): boolean {
  for (let at: ts.Node | undefined = node; at !== undefined; at = at.parent) if (at === outer) return true;
  return false;
}

function functionAround(node: ts.Node | undefined): ts.Node | undefined {
  let at = node;
  while (at !== undefined && !ts.isFunctionLike(at) && !ts.isClassStaticBlockDeclaration(at)) at = at.parent;
  return at;
}

/** Whether `this` is, where the function is made, an object of the class around it. */
function isInInstance(node: ts.Node): boolean {
  let at = node;
  while (at.parent !== undefined && !ts.isClassLike(at.parent)) {
    if (at !== node && ts.isFunctionLike(at) && !ts.isArrowFunction(at)) return false;
    at = at.parent;
  }
  const isStatic = ts.canHaveModifiers(at) && at.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.StaticKeyword);
  return at.parent !== undefined && isStatic !== true && (at !== node || ts.isMethodDeclaration(node));
}

/** Whether a function is made anew each time something else is called, or an object is made. */
export function isMadeAnew(node: ts.FunctionLikeDeclaration): boolean {
  return ts.isArrowFunction(node) || ts.isFunctionExpression(node) || functionAround(node.parent) !== undefined;
}
