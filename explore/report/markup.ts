/**
 * HTML text that is escaped by how it is made: what is put into a `markup` template is escaped, unless it is markup itself.
 *
 * Invariant: well-formed as XML as well, if the templates are; no character that HTML forbids.
 */
import { visible } from "./plain-text.js";

export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type Insert = Markup | string | number | readonly Insert[];

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escaped(text: string): string {
  return visible(text).replace(/[&<>"']/g, (character) => entities[character] ?? "");
}

function textOf(insert: Insert): string {
  if (insert instanceof Markup) return insert.text;
  if (typeof insert === "string") return escaped(insert);
  return typeof insert === "number" ? String(insert) : insert.map(textOf).join("");
}

/** A tag for templates; inserts go between tags, or between the quotes of an attribute. */
export function markup(parts: TemplateStringsArray, ...inserts: readonly Insert[]): Markup {
  return new Markup(parts.map((part, at) => part + textOf(inserts[at] ?? "")).join(""));
}

/** Text in which a line may also end after a slash, comma or opening parenthesis: paths and calls. */
export function breakable(text: string): Markup {
  const pieces = text.split(/(?<=[/,(])/);
  return new Markup(pieces.map(escaped).join("<wbr />"));
}
