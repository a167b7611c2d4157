/**
 * The floors of ARCHITECTURE.md as data, and the check that imports go down only: to a strictly lower floor or inside
 * the same folder. Types count: knowing a name is depending on it.
 */
import { importsOf } from "./imports.js";
import { sourcesBelow, type TreeFile } from "./tree.js";

interface Floor {
  readonly floor: number;
  /** Where it stands: the only folders it may import, besides itself. */
  readonly only?: readonly string[];
}

const storeSide = ["store", "base"];

/** Folder below src/ (the longest that fits counts) -> floor. Half floors order folders that one floor of the house holds. */
export const floors: Readonly<Record<string, Floor>> = {
  base: { floor: 0 },
  sync: { floor: 0.5 },
  frames: { floor: 1 },
  store: { floor: 1 },
  cache: { floor: 2 },
  io: { floor: 2 },
  writeback: { floor: 3 },
  reclaim: { floor: 4 },
  mapping: { floor: 5 },
  api: { floor: 6 },
  nbd: { floor: 7 },
  sqlite: { floor: 7 },
  "stores/file": { floor: 7, only: storeSide },
  "stores/memory": { floor: 7, only: storeSide },
  "stores/s3": { floor: 7, only: storeSide },
  "stores/checksums": { floor: 7, only: storeSide },
  "stores/faulty": { floor: 7, only: storeSide },
  testing: { floor: 7.2, only: [...storeSide, "stores/faulty"] },
  "index.ts": { floor: 7.5 },
  cli: { floor: 8 },
  dashboard: { floor: 8 },
};

/** The ways to what stands beside src/: loaded when its command is called, and only there. */
const loaders = [
  { path: "src/cli/check.ts", specifier: "../../explore/command.js" },
  { path: "src/cli/simulate.ts", specifier: "../../explore/simulation/command.js" },
];

const filesMin = 20;

/** The key of {@link floors} for a path of the tree, or undefined. */
function folderOf(path: string): string | undefined {
  const keys = Object.keys(floors).filter((key) => path === `src/${key}` || path.startsWith(`src/${key}/`));
  return keys.toSorted((a, b) => b.length - a.length)[0];
}

export function checkFloors(files: readonly TreeFile[]): string[] {
  const sources = sourcesBelow(files, "src");
  const complaints = sources.flatMap((file) => complaintsOf(file));
  if (sources.length < filesMin) complaints.push(`src: saw only ${sources.length} files, expected ${filesMin} or more`);
  return complaints;
}

function complaintsOf(file: TreeFile): string[] {
  const from = folderOf(file.path);
  if (from === undefined) return [`${file.path}:1: stands on no floor; put its folder into the table`];
  const complaints: string[] = [];
  for (const { target, specifier, line } of importsOf(file)) {
    if (loaders.some(({ path, specifier: known }) => file.path === path && specifier === known)) continue;
    const wrong = target === undefined ? wrongPackage(specifier) : wrongTarget(from, target);
    if (wrong !== undefined) complaints.push(`${file.path}:${line}: imports "${specifier}": ${wrong}`);
  }
  return complaints;
}

function wrongPackage(specifier: string): string | undefined {
  return /^pinfold(\/|$)/.test(specifier) ? "the package's own name hides the floor; import the file" : undefined;
}

function wrongTarget(from: string, target: string): string | undefined {
  // The package's own description travels with it; as seen from build/, where the compiled file lies one folder deeper.
  if (target === "../package.json") return undefined;
  if (!target.startsWith("src/")) return "leaves src/";
  const to = folderOf(target);
  if (to === from) return undefined;
  const own = floors[from];
  const other = to === undefined ? undefined : floors[to];
  if (to === undefined || own === undefined || other === undefined) return "stands on no floor";
  if (own.only !== undefined && !own.only.includes(to)) return `${from}/ may import only ${own.only.join("/ and ")}/`;
  if (other.floor < own.floor) return undefined;
  return `${to} (floor ${other.floor}) is not below ${from} (floor ${own.floor})`;
}
