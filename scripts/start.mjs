/**
 * Builds what changed, then serves ./pinfold.img as a network block device on this machine.
 * Further arguments are handed on: `npm start -- --memory 64MiB`.
 */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { join } from "node:path";
import { build } from "./build.mjs";
import { root } from "./shell.mjs";

build();
const main = join(root, "build/src/cli/main.js");
const defaults = ["serve", "./pinfold.img", "--size", "1GiB", "--nbd", "127.0.0.1:10809"];
const child = spawn(process.execPath, [main, ...defaults, ...process.argv.slice(2)], { cwd: root, stdio: "inherit" });

// A terminal sends Ctrl-C to both processes; a signal to this one alone is handed on. Either way the server decides.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
  });
}
child.on("exit", (code, signal) => {
  process.exitCode = code ?? 128 + constants.signals[signal];
});
