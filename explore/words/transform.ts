/**
 * Reads the page words' sources (src/sync/layout.ts, src/sync/words/*.ts: AssemblyScript) and writes them as JavaScript:
 *
 * * `plain`: functions, each atomic operation a call of an `ops` object. With Atomics behind it this is the reference
 *   that tests compare with the compiled module.
 * * `steps`: every function that reaches an atomic operation is a generator, which yields `address * 4 + kind` before
 *   each of them: the explorer's scheduling points.
 *
 * The text made is the body of `new Function("ops", text)`, which returns an object of the words' exports.
 *
 * Invariants: u64 is a BigInt in [0, 2^64), u32 and u16 are numbers in [0, 2^32), i32 is a signed number, as the module
 * answers them. A construct that is not known here throws with file:line; nothing is passed on unread.
 *
 * See also: words-language.ts (types, declarations), transform-expressions.ts (operators), builds.ts (what is done with
 * the text).
 */
import ts from "typescript-api";
import { Expressions } from "./transform-expressions.js";
import { complain, typeOf, type Declarations, type Mode, type Type, type WordsFunction } from "./words-language.js";

export type { Mode } from "./words-language.js";

/** Path to text; the path ending in words/index.ts names the exports. */
export type Sources = ReadonlyMap<string, string>;

/** The sources as JavaScript. */
export function transform(sources: Sources, mode: Mode): string {
  const files = [...sources].map(([path, text]) => parse(path, text));
  const declarations: Declarations = {
    integers: new Map(),
    typed: new Map(),
    functions: new Map(),
    exports: [],
    globals: [],
  };
  // Constants may use constants of files that come later: layout first, then the file that defines most of the words.
  for (const file of inOrder(files)) declareFile(file, declarations);
  markAtomic(declarations);
  const bodies = [...declarations.functions.values()].map((item) => emitFunction(item, declarations, mode));
  const answers = declarations.exports.map((name) => emitExport(name, declarations, mode));
  return ['"use strict";', ...declarations.globals, ...bodies, `return {\n${answers.join("\n")}\n};`].join("\n");
}

/** The first text that each file was parsed from: mutants change one file and leave the others. */
const parsed = new Map<string, ts.SourceFile>();

function parse(path: string, text: string): ts.SourceFile {
  const known = parsed.get(path);
  if (known?.text === text) return known;
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true);
  if (!known) parsed.set(path, file);
  return file;
}

/** Names of the exported functions, in the order of index.ts. */
export function exportedNames(sources: Sources): string[] {
  const index = [...sources].find(([path]) => path.endsWith("/index.ts"));
  if (index === undefined) throw new Error("the sources have no words/index.ts");
  const file = ts.createSourceFile(index[0], index[1], ts.ScriptTarget.ES2022, true);
  return file.statements.flatMap((statement) => {
    if (!ts.isExportDeclaration(statement) || statement.exportClause === undefined)
      return complain(statement, "index.ts only exports");
    if (!ts.isNamedExports(statement.exportClause)) return complain(statement, "exports are named");
    return statement.exportClause.elements.map((element) => element.name.text);
  });
}

function inOrder(files: readonly ts.SourceFile[]): ts.SourceFile[] {
  const rank = (file: ts.SourceFile): number =>
    file.fileName.endsWith("/layout.ts") ? 0 : file.fileName.endsWith("/memory.ts") ? 1 : 2;
  return [...files].sort((one, other) => rank(one) - rank(other));
}

function declareFile(file: ts.SourceFile, into: Declarations): void {
  for (const statement of file.statements) {
    if (ts.isImportDeclaration(statement)) continue;
    if (ts.isExportDeclaration(statement)) {
      if (
        !file.fileName.endsWith("/index.ts") ||
        !statement.exportClause ||
        !ts.isNamedExports(statement.exportClause)
      ) {
        complain(statement, "only index.ts exports what others declare");
      }
      for (const element of statement.exportClause.elements) into.exports.push(element.name.text);
    } else if (ts.isVariableStatement(statement)) {
      for (const declaration of statement.declarationList.declarations) declareVariable(declaration, statement, into);
    } else if (ts.isFunctionDeclaration(statement)) {
      declareFunction(statement, into);
    } else {
      complain(statement, "unknown statement at module level");
    }
  }
}

function claim(name: string, node: ts.Node, into: Declarations): void {
  if (into.integers.has(name) || into.typed.has(name) || into.functions.has(name))
    complain(node, `${name} is declared twice`);
}

function declareVariable(node: ts.VariableDeclaration, statement: ts.VariableStatement, into: Declarations): void {
  if (!ts.isIdentifier(node.name) || node.initializer === undefined)
    return complain(node, "a variable has a name and a value");
  const name = node.name.text;
  claim(name, node, into);
  const expressions = new Expressions(into, "plain", new Map());
  if (node.type === undefined) {
    const value = expressions.emit(node.initializer);
    if (value.integer === undefined) return complain(node, "a constant without a type is an integer");
    into.integers.set(name, value.integer);
    return;
  }
  const type = typeOf(node.type, node);
  const keyword = statement.declarationList.flags & ts.NodeFlags.Const ? "const" : "let";
  into.globals.push(`${keyword} ${name} = ${expressions.emitAs(node.initializer, type)};`);
  into.typed.set(name, type);
}

function declareFunction(node: ts.FunctionDeclaration, into: Declarations): void {
  if (node.name === undefined || node.body === undefined) return complain(node, "a function has a name and a body");
  claim(node.name.text, node, into);
  const parameters = node.parameters.map((parameter) => {
    if (!ts.isIdentifier(parameter.name) || parameter.initializer)
      return complain(parameter, "a parameter is a name with a type");
    return { name: parameter.name.text, type: typeOf(parameter.type, parameter) };
  });
  const answer = typeOf(node.type, node);
  into.functions.set(node.name.text, { name: node.name.text, node, parameters, answer, atomic: false });
}

/** Finds the functions that reach an atomic operation. Calls go at most as deep as there are functions. */
function markAtomic({ functions }: Declarations): void {
  const called = new Map<string, Set<string>>();
  for (const { name, node } of functions.values()) {
    const calls = new Set<string>();
    const visit = (child: ts.Node): void => {
      if (ts.isCallExpression(child)) calls.add(child.expression.getText().split("<")[0] ?? "");
      ts.forEachChild(child, visit);
    };
    visit(node);
    called.set(name, calls);
  }
  for (let round = 0; round < functions.size; round++) {
    for (const item of functions.values()) {
      const calls = [...(called.get(item.name) ?? [])];
      item.atomic ||= calls.some((name) => name.startsWith("atomic.") || functions.get(name)?.atomic === true);
    }
  }
}

function emitFunction(item: WordsFunction, declarations: Declarations, mode: Mode): string {
  const scope = new Map(item.parameters.map(({ name, type }) => [name, type] as const));
  const expressions = new Expressions(declarations, mode, scope);
  const body = new Statements(expressions, item.answer).emitBlock(item.node.body as ts.Block, "  ");
  const star = mode === "steps" && item.atomic ? "*" : "";
  const temporaries = expressions.temporaries > 0 ? `  let ${names("t", expressions.temporaries)};\n` : "";
  return `function${star} ${item.name}(${item.parameters.map(({ name }) => name).join(", ")}) {\n${temporaries}${body}}`;
}

function names(prefix: string, count: number): string {
  return Array.from({ length: count }, (_, at) => `${prefix}${at + 1}`).join(", ");
}

const takenAs: Readonly<Partial<Record<Type, string>>> = { u16: " & 0xffff", u32: " >>> 0", i32: " | 0" };
const answeredAs: Readonly<Partial<Record<Type, string>>> = { u16: " | 0", u32: " | 0", i32: " | 0" };

/** An export takes any numbers as the module does, and answers 32-bit values signed. */
function emitExport(name: string, { functions }: Declarations, mode: Mode): string {
  const item = functions.get(name);
  if (item === undefined) throw new Error(`index.ts exports ${name}, which no file declares`);
  if (item.parameters.some(({ type }) => type === "u64") || item.answer === "u64") {
    return complain(item.node, "an exported function takes and answers 32-bit values");
  }
  const taken = item.parameters.map(({ name: taker, type }) => `${taker}${takenAs[type] ?? ""}`).join(", ");
  const list = item.parameters.map((parameter) => parameter.name).join(", ");
  if (mode === "steps" && item.atomic) {
    return `  *${name}(${list}) { return (yield* ${name}(${taken}))${answeredAs[item.answer] ?? ""}; },`;
  }
  return `  ${name}(${list}) { return ${name}(${taken})${answeredAs[item.answer] ?? ""}; },`;
}

/** Statements of one function. */
class Statements {
  readonly #expressions: Expressions;
  readonly #answer: Type;

  constructor(expressions: Expressions, answer: Type) {
    this.#expressions = expressions;
    this.#answer = answer;
  }

  emitBlock(block: ts.Block, indent: string): string {
    return block.statements.map((statement) => this.#emit(statement, indent)).join("");
  }

  #emit(node: ts.Statement, indent: string): string {
    if (ts.isVariableStatement(node)) return this.#emitLocals(node, indent);
    if (ts.isExpressionStatement(node)) return `${indent}${this.#emitExpression(node.expression)};\n`;
    if (ts.isReturnStatement(node)) {
      if (node.expression === undefined) return `${indent}return;\n`;
      return `${indent}return ${this.#expressions.emitAs(node.expression, this.#answer)};\n`;
    }
    if (ts.isIfStatement(node)) {
      const head = `${indent}if (${this.#expressions.emitAs(node.expression, "bool")}) {\n`;
      const otherwise = node.elseStatement ? ` else {\n${this.#emitBody(node.elseStatement, indent)}${indent}}` : "";
      return `${head}${this.#emitBody(node.thenStatement, indent)}${indent}}${otherwise}\n`;
    }
    if (ts.isWhileStatement(node)) {
      const head = `${indent}while (${this.#expressions.emitAs(node.expression, "bool")}) {\n`;
      return `${head}${this.#emitBody(node.statement, indent)}${indent}}\n`;
    }
    return complain(node, "unknown statement");
  }

  #emitBody(node: ts.Statement, indent: string): string {
    return ts.isBlock(node) ? this.emitBlock(node, `${indent}  `) : this.#emit(node, `${indent}  `);
  }

  #emitLocals(node: ts.VariableStatement, indent: string): string {
    return node.declarationList.declarations
      .map((declaration) => {
        if (!ts.isIdentifier(declaration.name) || !declaration.initializer)
          return complain(declaration, "a local has a name and a value");
        const type = typeOf(declaration.type, declaration);
        const value = this.#expressions.emitAs(declaration.initializer, type);
        this.#expressions.declare(declaration.name.text, type);
        return `${indent}let ${declaration.name.text} = ${value};\n`;
      })
      .join("");
  }

  #emitExpression(node: ts.Expression): string {
    if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.EqualsToken) {
      if (!ts.isIdentifier(node.left)) return complain(node, "only a variable is assigned to");
      return `${node.left.text} = ${this.#expressions.emitAs(node.right, this.#expressions.typeOfName(node.left))}`;
    }
    if (ts.isCallExpression(node)) return this.#expressions.emitCall(node, true).code;
    return complain(node, "unknown expression statement");
  }
}
