/**
 * Installs the packages of package-lock.json (`npm ci`) where node_modules is missing or does not belong to it.
 * Says nothing when there is nothing to do.
 *
 * node_modules/.pinfold-setup holds the hash of the lockfile that was installed. A later `npm install` by hand also
 * counts: npm then writes node_modules/.package-lock.json, newer than the lockfile.
 */
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hashOf, readIfThere, root, run, seconds } from "./shell.mjs";

const stampPath = join(root, "node_modules/.pinfold-setup");

function modifiedMs(path) {
  return statSync(join(root, path), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

export function setup() {
  const wanted = hashOf(["package-lock.json"]);
  if (readIfThere(stampPath) === wanted) return;
  const installedMs = modifiedMs("node_modules/.package-lock.json");
  if (installedMs === 0 || installedMs < modifiedMs("package-lock.json")) {
    const startMs = Date.now();
    console.log("setup: npm ci");
    // No package here needs its install script. npm is a .cmd file on Windows, which needs a shell.
    const status = run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
      shell: process.platform === "win32",
    });
    if (status !== 0) {
      console.error("setup: npm ci failed");
      process.exit(status);
    }
    console.log(`setup: done in ${seconds(startMs)}`);
  }
  writeFileSync(stampPath, wanted);
}

if (process.argv[1] === import.meta.filename) setup();
