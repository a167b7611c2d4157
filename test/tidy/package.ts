/** package.json and its lockfile: what is published is there, what is depended on was decided. */
import { importsOf } from "./imports.js";
import { sourcesBelow, type TreeFile } from "./tree.js";

type Names = Readonly<Record<string, string>>;

export interface Manifest {
  readonly files: readonly string[];
  readonly bin: Names;
  readonly exports: Readonly<Record<string, string | Names>>;
  readonly dependencies: Names;
  readonly devDependencies: Names;
}

export interface Lockfile {
  readonly packages: Readonly<Record<string, { readonly resolved?: string; readonly optionalDependencies?: Names }>>;
}

/** The packages that Pinfold's users install with it. A further one needs a decision first. */
const runtimePackages = ["@node-rs/crc32", "commander", "koffi"];

/** Every file that package.json promises exists and is published. `exists` takes a path in the tree. */
export function checkTargets(manifest: Manifest, exists: (path: string) => boolean): string[] {
  const targets = [...Object.values(manifest.bin)];
  for (const value of Object.values(manifest.exports))
    targets.push(...(typeof value === "string" ? [value] : Object.values(value)));
  return targets.flatMap((target) => {
    const path = target.replace(/^\.\//, "");
    const published =
      path === "package.json" || manifest.files.some((entry) => path === entry || path.startsWith(`${entry}/`));
    return [
      ...(exists(path) ? [] : [`package.json: ${target} does not exist after the build`]),
      ...(published ? [] : [`package.json: ${target} is not among the published files`]),
    ];
  });
}

/** Dependencies are the known ones, and a page of docs/decisions/ names each, those for development too. */
export function checkDependencies(manifest: Manifest, files: readonly TreeFile[]): string[] {
  const decisions = files.filter((file) => /^docs\/decisions\/.*\.md$/.test(file.path)).map((file) => file.text);
  const decided = (name: string): boolean => decisions.some((text) => text.includes(`\`${name}\``));
  const unknown = Object.keys(manifest.dependencies).filter((name) => !runtimePackages.includes(name));
  const undecided = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.devDependencies)].filter(
    (n) => !decided(n),
  );
  return [
    ...unknown.map((name) => `package.json: ${name} is no known runtime dependency`),
    ...undecided.map((name) => `package.json: no page of docs/decisions names \`${name}\``),
  ];
}

/** src/ imports modules of Node (written with "node:") and runtime dependencies, nothing else. */
export function checkPackageImports(manifest: Manifest, files: readonly TreeFile[]): string[] {
  return sourcesBelow(files, "src").flatMap((file) =>
    importsOf(file)
      .filter(({ specifier, target }) => target === undefined && !/^(node:|#)/.test(specifier))
      .filter(({ specifier }) => !Object.hasOwn(manifest.dependencies, packageOf(specifier)))
      .map(({ specifier, line }) => `${file.path}:${line}: imports "${specifier}", which is no runtime dependency`),
  );
}

function packageOf(specifier: string): string {
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}

/** The lockfile names no host, and lists the optional packages of every system, or `npm ci` refuses it. */
export function checkLockfile(lock: Lockfile): string[] {
  return Object.entries(lock.packages).flatMap(([path, entry]) => [
    ...(entry.resolved === undefined ? [] : [`package-lock.json: ${path} has "resolved"`]),
    ...Object.keys(entry.optionalDependencies ?? {})
      .filter((name) => !Object.hasOwn(lock.packages, `node_modules/${name}`))
      .map((name) => `package-lock.json: no entry for ${name}; run node scripts/lock.mjs`),
  ]);
}
