/**
 * Completes package-lock.json after a change of dependencies: `npm install NAME && node scripts/lock.mjs`.
 *
 * npm leaves out optional packages for other systems where its registry did not give their description, and then
 * refuses its own lockfile (`npm ci`: "Missing: ... from lock file"). This writes the entries: version, os and cpu as
 * the package's name tells them. Entries that npm wrote stay as they are.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./shell.mjs";

const systems = ["aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32"];
const processors = [
  "arm64",
  "arm",
  "x64",
  "ia32",
  "loong64",
  "mips64el",
  "ppc64",
  "riscv64",
  "s390x",
  "armeabihf",
  "eabi",
];

/** The entry of a package named like "@oxlint/binding-linux-x64-musl", or undefined if the name tells no system. */
function entryOf(name, version, dev) {
  const parts = name.split(/[/-]/);
  const os = parts.find((part) => systems.includes(part));
  const cpu = parts.find((part) => processors.includes(part));
  if (os === undefined || cpu === undefined) return undefined;
  const libc = os !== "linux" ? undefined : parts.some((part) => part.startsWith("musl")) ? "musl" : "glibc";
  return { version, cpu: [cpu], ...(dev && { dev }), ...(libc && { libc: [libc] }), optional: true, os: [os] };
}

const path = join(root, "package-lock.json");
const lock = JSON.parse(readFileSync(path, "utf8"));
const added = [];
for (const owner of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(owner.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (lock.packages[key]?.version !== undefined) continue;
    const entry = entryOf(name, version, owner.dev);
    if (entry === undefined) throw new Error(`${name}: the name tells no system; write its entry by hand`);
    lock.packages[key] = entry;
    added.push(name);
  }
}
for (const entry of Object.values(lock.packages)) delete entry.resolved;
const sorted = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1));
lock.packages = Object.fromEntries(sorted);
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`lock: ${added.length} entries added`);
