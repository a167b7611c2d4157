/**
 * Types and operators of the page words' language, as far as the words use it: the part of transform.ts below statements.
 *
 * Invariants: an expression has one of the types of transform.ts, or is an integer constant, which takes the type of the
 * other operand or of its place, exactly (no silent wrap of a constant). Operands of two types throw: there are no
 * conversions but the casts that are written. Arguments of an atomic operation are evaluated before its scheduling point.
 *
 * See also: transform.ts.
 */
import ts from "typescript-api";
import { POINT_COUNT, POINT_LOAD, POINT_STORE, POINT_UPDATE } from "./reference.js";
import { complain, type Declarations, type Mode, type Type } from "./words-language.js";

/** An expression in JavaScript. `integer` is set where it is a constant without a type. */
export interface Value {
  readonly code: string;
  readonly type: Type | "integer";
  readonly integer?: bigint;
}

const castTypes: readonly string[] = ["u16", "u32", "i32", "u64", "f64"];
const widths: Readonly<Record<string, number>> = { u16: 16, u32: 32, u64: 64 };
const pointKinds: Readonly<Record<string, number>> = {
  load: POINT_LOAD,
  store: POINT_STORE,
  add: POINT_UPDATE,
  sub: POINT_UPDATE,
  and: POINT_UPDATE,
  or: POINT_UPDATE,
  cmpxchg: POINT_UPDATE,
};
const operandsAfterAddress: Readonly<Record<string, number>> = { load: 0, cmpxchg: 2 };
const comparisons: Readonly<Record<string, string>> = {
  "==": "===",
  "!=": "!==",
  "<": "<",
  "<=": "<=",
  ">": ">",
  ">=": ">=",
};

function integerValue(integer: bigint): Value {
  return { code: String(integer), type: "integer", integer };
}

/** Folds two constants exactly. */
function fold(operator: string, left: bigint, right: bigint): bigint | undefined {
  if (operator === "+") return left + right;
  if (operator === "-") return left - right;
  if (operator === "*") return left * right;
  if (operator === "<<") return left << right;
  if (operator === ">>") return left >> right;
  if (operator === "&") return left & right;
  if (operator === "|") return left | right;
  return undefined;
}

/** `left operator right` for two operands of one type, wrapped as that type wraps. */
function arithmetic(operator: string, left: string, right: string, type: Type): string | undefined {
  if (type === "u64") {
    if (["&", "|", "^", ">>", "/"].includes(operator)) return `(${left} ${operator} ${right})`;
    if (["+", "-", "*", "<<"].includes(operator)) return `BigInt.asUintN(64, ${left} ${operator} ${right})`;
    return undefined;
  }
  const wrap = (code: string): string => (type === "i32" ? `(${code} | 0)` : `((${code}) >>> 0)`);
  if (type !== "u32" && type !== "i32") return undefined;
  if (operator === "*") return wrap(`Math.imul(${left}, ${right})`);
  if (operator === ">>") return type === "u32" ? `(${left} >>> ${right})` : `(${left} >> ${right})`;
  if (["+", "-", "/", "<<", "&", "|", "^"].includes(operator)) return wrap(`(${left} ${operator} ${right})`);
  return undefined;
}

export class Expressions {
  /** Temporaries that the function needs; each atomic operation has its own. */
  temporaries = 0;
  readonly #declarations: Declarations;
  readonly #mode: Mode;
  readonly #scope: Map<string, Type>;

  constructor(declarations: Declarations, mode: Mode, scope: Map<string, Type>) {
    this.#declarations = declarations;
    this.#mode = mode;
    this.#scope = scope;
  }

  /** Locals of inner blocks may have a name again, with the same type. */
  declare(name: string, type: Type): void {
    const before = this.#scope.get(name);
    if (before !== undefined && before !== type) throw new Error(`local ${name} has two types: ${before}, ${type}`);
    this.#scope.set(name, type);
  }

  typeOfName(node: ts.Identifier): Type {
    return this.#scope.get(node.text) ?? this.#declarations.typed.get(node.text) ?? complain(node, "unknown name");
  }

  /** The expression, which has to be of `type`. */
  emitAs(node: ts.Expression, type: Type): string {
    return this.#as(this.emit(node, type), type, node);
  }

  /** The expression; `wanted` is the type of its place, which a conditional of constants takes. */
  emit(node: ts.Expression, wanted?: Type): Value {
    if (ts.isParenthesizedExpression(node)) return this.emit(node.expression, wanted);
    if (ts.isNumericLiteral(node)) return integerValue(BigInt(node.text));
    if (node.kind === ts.SyntaxKind.TrueKeyword) return { code: "true", type: "bool" };
    if (node.kind === ts.SyntaxKind.FalseKeyword) return { code: "false", type: "bool" };
    if (ts.isIdentifier(node)) {
      const integer = this.#declarations.integers.get(node.text);
      if (integer !== undefined && !this.#scope.has(node.text)) return integerValue(integer);
      return { code: node.text, type: this.typeOfName(node) };
    }
    if (ts.isPrefixUnaryExpression(node)) return this.#emitUnary(node);
    if (ts.isBinaryExpression(node)) return this.#emitBinary(node, wanted);
    if (ts.isConditionalExpression(node)) return this.#emitConditional(node, wanted);
    if (ts.isCallExpression(node)) return this.emitCall(node);
    return complain(node, "unknown expression");
  }

  #as(value: Value, type: Type, node: ts.Node): string {
    if (value.integer !== undefined) return this.#literal(value.integer, type, node);
    if (value.type !== type) return complain(node, `this is ${value.type}, its place is ${type}`);
    return value.code;
  }

  #literal(integer: bigint, type: Type, node: ts.Node): string {
    if (type === "u64" && integer === BigInt.asUintN(64, integer)) return `${integer}n`;
    if (type === "i32" && integer === BigInt.asIntN(32, integer)) return integer < 0n ? `(${integer})` : `${integer}`;
    // A negative constant in place of a u32 wraps, as in AssemblyScript (-1 as a delta).
    if (type === "u32" && integer < 2n ** 32n && integer >= -(2n ** 31n)) return `${BigInt.asUintN(32, integer)}`;
    if (type === "u16" && integer === BigInt.asUintN(16, integer)) return `${integer}`;
    return complain(node, `${integer} does not fit ${type}`);
  }

  #emitUnary(node: ts.PrefixUnaryExpression): Value {
    if (node.operator === ts.SyntaxKind.ExclamationToken)
      return { code: `!${this.emitAs(node.operand, "bool")}`, type: "bool" };
    const value = this.emit(node.operand);
    if (node.operator === ts.SyntaxKind.MinusToken && value.integer !== undefined) return integerValue(-value.integer);
    if (node.operator === ts.SyntaxKind.TildeToken && value.integer !== undefined) return integerValue(~value.integer);
    if (node.operator === ts.SyntaxKind.TildeToken && value.type === "u64") {
      return { code: `BigInt.asUintN(64, ~${value.code})`, type: "u64" };
    }
    if (node.operator === ts.SyntaxKind.TildeToken && value.type === "u32")
      return { code: `((~${value.code}) >>> 0)`, type: "u32" };
    return complain(node, "unknown unary operator");
  }

  #emitBinary(node: ts.BinaryExpression, wanted?: Type): Value {
    const operator = node.operatorToken.getText();
    if (operator === "&&" || operator === "||") {
      return {
        code: `(${this.emitAs(node.left, "bool")} ${operator} ${this.emitAs(node.right, "bool")})`,
        type: "bool",
      };
    }
    const left = this.emit(node.left, comparisons[operator] === undefined ? wanted : undefined);
    const right = this.emit(node.right, comparisons[operator] === undefined ? wanted : undefined);
    if (left.integer !== undefined && right.integer !== undefined) {
      const folded = fold(operator, left.integer, right.integer);
      return folded === undefined ? complain(node, "unknown operator of constants") : integerValue(folded);
    }
    const type = (left.integer === undefined ? left.type : right.type) as Type;
    const one = this.#as(left, type, node.left);
    const other = this.#as(right, type, node.right);
    const comparison = comparisons[operator];
    if (comparison !== undefined) return { code: `(${one} ${comparison} ${other})`, type: "bool" };
    const code = arithmetic(operator, one, other, type);
    return code === undefined ? complain(node, `unknown operator of ${type}`) : { code, type };
  }

  #emitConditional(node: ts.ConditionalExpression, wanted?: Type): Value {
    const condition = this.emitAs(node.condition, "bool");
    const one = this.emit(node.whenTrue, wanted);
    const other = this.emit(node.whenFalse, wanted);
    const type = one.integer === undefined ? one.type : other.integer === undefined ? other.type : wanted;
    if (type === undefined || type === "integer")
      return complain(node, "a conditional of constants needs a typed place");
    return { code: `(${condition} ? ${this.#as(one, type, node)} : ${this.#as(other, type, node)})`, type };
  }

  /** A call; `unused`: it is a statement, nobody takes its answer. */
  emitCall(node: ts.CallExpression, unused = false): Value {
    const name = node.expression.getText();
    if (name.startsWith("atomic.")) return this.#emitAtomic(node, name.slice("atomic.".length), unused);
    const [argument] = node.arguments;
    if (castTypes.includes(name) && argument !== undefined) return this.#emitCast(name as Type, argument);
    const called = this.#declarations.functions.get(name);
    if (called === undefined) return complain(node, "unknown function");
    if (called.parameters.length !== node.arguments.length)
      return complain(node, `${name} takes ${called.parameters.length} arguments`);
    const list = called.parameters
      .map(({ type }, at) => this.emitAs(node.arguments[at] as ts.Expression, type))
      .join(", ");
    const code = this.#mode === "steps" && called.atomic ? `(yield* ${name}(${list}))` : `${name}(${list})`;
    return { code, type: called.answer };
  }

  #emitCast(to: Type, argument: ts.Expression): Value {
    const { code, type, integer } = this.emit(argument);
    if (integer !== undefined) return { code: this.#literal(integer, to, argument), type: to };
    if (type === "f64")
      return to === "u64" ? { code: `BigInt(${code})`, type: to } : complain(argument, `cast of f64 to ${to}`);
    if (type === "u64") {
      if (to === "f64") return { code: `Number(${code})`, type: to };
      if (to === "u32") return { code: `Number(BigInt.asUintN(32, ${code}))`, type: to };
      return to === "u64" ? { code, type: to } : complain(argument, `cast of u64 to ${to}`);
    }
    if (type === "bool") return complain(argument, "cast of a truth value");
    if (to === "u64")
      return type === "i32" ? complain(argument, "cast of i32 to u64") : { code: `BigInt(${code})`, type: to };
    if (to === "i32") return { code: `(${code} | 0)`, type: to };
    return { code: to === "u16" ? `(${code} & 0xffff)` : `(${code} >>> 0)`, type: to };
  }

  /** `atomic.load<u32>(address)` becomes `ops.load32(address)`, in steps after a point. */
  #emitAtomic(node: ts.CallExpression, operation: string, unused: boolean): Value {
    const type = node.typeArguments?.[0]?.getText() ?? "";
    const width = widths[type];
    const kind = pointKinds[operation];
    if (width === undefined || kind === undefined) return complain(node, "unknown atomic operation");
    const [address, ...operands] = node.arguments;
    if (address === undefined || operands.length !== (operandsAfterAddress[operation] ?? 1))
      return complain(node, "operands of an atomic operation");
    const values = [this.emitAs(address, "u32"), ...operands.map((operand) => this.emitAs(operand, type as Type))];
    const answer = operation === "store" ? "void" : (type as Type);
    if (this.#mode === "plain") return { code: `ops.${operation}${width}(${values.join(", ")})`, type: answer };
    const held = values.map(() => `t${++this.temporaries}`);
    const taken = values.map((value, at) => `${held[at]} = ${value}`).join(", ");
    if (unused && width === 32 && (operation === "add" || operation === "sub")) {
      const delta = operation === "add" ? held[1] : `-${held[1]}`;
      return {
        code: `(${taken}, yield ${held[0]} * 4 + ${POINT_COUNT}, ops.count32(${held[0]}, ${delta}))`,
        type: "void",
      };
    }
    return {
      code: `(${taken}, yield ${held[0]} * 4 + ${kind}, ops.${operation}${width}(${held.join(", ")}))`,
      type: answer,
    };
  }
}
