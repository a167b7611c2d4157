/**
 * The restricted language of the page words, as the transform knows it: types, what a file may declare, how a complaint
 * names its place.
 *
 * Invariants: every name at module level is declared once in all the sources, so that one name space serves.
 *
 * See also: transform.ts (declarations and statements), transform-expressions.ts (operators).
 */
import ts from "typescript-api";

export type Mode = "plain" | "steps";

export type Type = "u16" | "u32" | "i32" | "u64" | "f64" | "bool" | "void";

export interface WordsFunction {
  readonly name: string;
  readonly node: ts.FunctionDeclaration;
  readonly parameters: readonly { readonly name: string; readonly type: Type }[];
  readonly answer: Type;
  /** Whether it reaches an atomic operation, itself or by what it calls. */
  atomic: boolean;
}

/** What the sources declare at module level, all in one name space. */
export interface Declarations {
  /** Constants without a type (layout.ts): exact integers that take the type of their place. */
  readonly integers: Map<string, bigint>;
  /** Constants and variables with a type. */
  readonly typed: Map<string, Type>;
  readonly functions: Map<string, WordsFunction>;
  readonly exports: string[];
  /** Module-level statements made so far. */
  readonly globals: string[];
}

export function complain(node: ts.Node, what: string): never {
  const file = node.getSourceFile();
  const { line } = file.getLineAndCharacterOfPosition(node.getStart());
  throw new Error(`${file.fileName}:${line + 1}: ${what}: ${node.getText().split("\n")[0]}`);
}

export function typeOf(node: ts.TypeNode | undefined, owner: ts.Node): Type {
  const name = node?.getText();
  const known: readonly (string | undefined)[] = ["u16", "u32", "i32", "u64", "f64", "bool", "void"];
  if (known.includes(name)) return name as Type;
  return complain(owner, "a type is missing or unknown");
}
