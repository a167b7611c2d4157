/**
 * A strict reader of the HTML that a report is: every element closed, attributes quoted and once, text escaped. What a browser
 * would mend is an error here.
 */
export interface Element {
  readonly tag: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: (Element | string)[];
}

const voidTags = new Set(["br", "hr", "img", "link", "meta", "wbr"]);
const rawTags = new Set(["script", "style"]);
const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'" };

/** @throws Error where the text is not well-formed */
export function readMarkup(text: string): Element {
  const doctype = "<!doctype html>\n";
  if (!text.startsWith(doctype)) throw new Error("no doctype");
  const root: Element = { tag: "", attributes: new Map(), children: [] };
  const open: Element[] = [root];
  const token = /<(\/?)([a-z][a-z0-9]*)((?:\s+[a-z-]+="[^"<]*")*)\s*(\/?)>|([^<]+)|(<)/gy;
  token.lastIndex = doctype.length;
  while (token.lastIndex < text.length) {
    const at = token.lastIndex;
    const match = token.exec(text);
    const here = (): string => `${JSON.stringify(text.slice(at, at + 60))} in <${open.at(-1)?.tag}>`;
    if (match === null || match[6] !== undefined) throw new Error(`bad markup at ${here()}`);
    const [, closes, tag = "", attributes = "", closesItself, words] = match;
    const parent = open.at(-1) as Element;
    if (words !== undefined) parent.children.push(decoded(words, here));
    else if (closes) {
      if (parent.tag !== tag) throw new Error(`</${tag}> closes <${parent.tag}> at ${here()}`);
      open.pop();
    } else {
      const element: Element = { tag, attributes: attributesOf(attributes, here), children: [] };
      parent.children.push(element);
      if (Boolean(closesItself) !== voidTags.has(tag))
        throw new Error(`<${tag}> is closed in the wrong way at ${here()}`);
      if (rawTags.has(tag)) {
        const end = text.indexOf(`</${tag}>`, token.lastIndex);
        element.children.push(text.slice(token.lastIndex, end));
        token.lastIndex = end + tag.length + 3;
      } else if (!closesItself) open.push(element);
    }
  }
  if (open.length > 1) throw new Error(`<${open.at(-1)?.tag}> is not closed`);
  return root;
}

function decoded(text: string, here: () => string): string {
  return text.replace(/&([^;&]{0,8};)?/g, (whole, name: string | undefined) => {
    const character = name === undefined ? undefined : entities[name.slice(0, -1)];
    if (character === undefined) throw new Error(`"${whole}" is no entity at ${here()}`);
    return character;
  });
}

function attributesOf(text: string, here: () => string): Map<string, string> {
  const attributes = new Map<string, string>();
  for (const [, name = "", value = ""] of text.matchAll(/([a-z-]+)="([^"]*)"/g)) {
    if (attributes.has(name)) throw new Error(`${name} is there twice at ${here()}`);
    attributes.set(name, decoded(value, here));
  }
  return attributes;
}

/** All elements below, in order. */
export function elementsBelow(element: Element, into: Element[] = []): Element[] {
  for (const child of element.children) {
    if (typeof child === "string") continue;
    into.push(child);
    elementsBelow(child, into);
  }
  return into;
}

/** Elements below with that class or, written "<li>", that tag. */
export function all(element: Element, wanted: string): Element[] {
  const tag = /^<(.*)>$/.exec(wanted)?.[1];
  return elementsBelow(element).filter((below) =>
    tag === undefined ? classesOf(below).includes(wanted) : below.tag === tag,
  );
}

/** The one such element. */
export function only(element: Element, wanted: string): Element {
  const found = all(element, wanted);
  if (found.length !== 1) throw new Error(`${found.length} elements "${wanted}" in ${textOf(element).slice(0, 200)}`);
  return found[0] as Element;
}

export function classesOf(element: Element): string[] {
  return (element.attributes.get("class") ?? "").split(" ");
}

export function textOf(element: Element): string {
  return element.children.map((child) => (typeof child === "string" ? child : textOf(child))).join("");
}

/** A custom property of the element's style: "--lane". */
export function propertyOf(element: Element, name: string): string | undefined {
  return new RegExp(`${name}: ([^;]*)`).exec(element.attributes.get("style") ?? "")?.[1];
}
