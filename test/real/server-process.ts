/**
 * `pinfold serve` as a process of its own, and the other programs that tests drive it with.
 *
 * Invariant: whatever a test started, mounted or made is gone when the test ends, in the opposite order, failed or not.
 */
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { MiB } from "../../src/base/limits.js";
import { nbdUri } from "../../src/nbd/address.js";
import { NbdClient } from "../nbd/client.js";
import { scratchFolder } from "../nbd/fixture.js";

export const mainPath = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));

/** How much longer than usual the tests may take: 1 by default (PINFOLD_SOAK_S=30). */
export const soakFactor = Number(process.env["PINFOLD_SOAK_S"] ?? 30) / 30;

/** What a server may take besides its pages. (Node 24 does not keep it: docs/performance.md.) */
export const overheadBytes = 100 * MiB;

/** The path of a program, where root's programs are looked for too; undefined where it is missing. */
export function pathOf(program: string): string | undefined {
  const found = spawnSync("sh", ["-c", 'PATH="$PATH:/usr/sbin:/sbin" command -v "$1"', "sh", program], {
    encoding: "utf8",
  });
  return found.status === 0 ? found.stdout.trim() : undefined;
}

/** False, and the test is skipped by name, where a program is missing. */
export function has(t: TestContext, ...programs: string[]): boolean {
  const missing = programs.filter((program) => pathOf(program) === undefined);
  if (missing.length > 0) t.skip(`not installed: ${missing.join(", ")}`);
  return missing.length === 0;
}

const execute = promisify(execFile);

/** Runs a program to its end; its standard output. Rejects with `stdout` and `stderr` where it fails. */
export async function run(
  program: string,
  args: readonly string[],
  options: { cwd?: string; timeoutMs?: number } = {},
) {
  const { stdout } = await execute(pathOf(program) ?? program, args, {
    timeout: options.timeoutMs ?? 120_000,
    maxBuffer: 64 * MiB,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  return stdout;
}

/** What has to be undone at the end of a test, last first. */
export class Undo {
  readonly #steps: (() => Promise<void> | void)[] = [];

  constructor(t: Pick<TestContext, "after">) {
    t.after(async () => {
      const errors: unknown[] = [];
      for (const step of this.#steps.splice(0).reverse()) {
        try {
          await step();
        } catch (error) {
          errors.push(error);
        }
      }
      if (errors.length > 0) throw new AggregateError(errors, `left behind: ${errors.map(String).join("; ")}`);
    });
  }

  add(step: () => Promise<void> | void): void {
    this.#steps.push(step);
  }
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A process whose output is kept, and that is killed at the end of the test. */
export class Program {
  readonly child: ChildProcess;
  stdout = "";
  stderr = "";
  readonly ended: Promise<Ended>;

  constructor(
    undo: Undo,
    program: string,
    args: readonly string[],
    options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
  ) {
    this.child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
    this.child.stdout?.on("data", (chunk: Buffer) => (this.stdout += chunk.toString()));
    this.child.stderr?.on("data", (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.ended = new Promise((resolve, reject) => {
      this.child.on("error", reject);
      this.child.on("close", (code, signal) => resolve({ code, signal }));
    });
    this.ended.catch(() => {});
    undo.add(async () => {
      this.child.kill("SIGKILL");
      await this.ended.catch(() => {});
    });
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Waits until the standard output holds `text`. Rejects if the process ends before. */
  async says(text: string): Promise<void> {
    for (let waitedMs = 0; !this.stdout.includes(text); waitedMs += 5) {
      if (!this.running) throw new Error(`ended before it said "${text}": ${this.stderr}`);
      if (waitedMs > 60_000) throw new Error(`never said "${text}": ${this.stdout} ${this.stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  end(signal: NodeJS.Signals = "SIGTERM"): Promise<Ended> {
    this.child.kill(signal);
    return this.ended;
  }

  /** The most memory that the process has had so far (VmHWM), in bytes. */
  get peakBytes(): number {
    const status = readFileSync(`/proc/${this.child.pid}/status`, "utf8");
    return Number(/VmHWM:\s*(\d+) kB/.exec(status)?.[1]) * 1024;
  }
}

export interface ServeArguments {
  readonly size?: string;
  readonly memory?: string;
  readonly pageSize?: number;
  readonly flags?: readonly string[];
  /** The unix socket; one in a folder of its own by default. */
  readonly socket?: string;
}

/** A running `pinfold serve`. */
export class ServerProcess extends Program {
  readonly socket: string;

  constructor(undo: Undo, socket: string, args: readonly string[]) {
    super(undo, process.execPath, [mainPath, "serve", ...args]);
    this.socket = socket;
  }

  uri(name = ""): string {
    return nbdUri({ path: this.socket }, name);
  }

  /** A client in transmission. */
  async client(name = ""): Promise<NbdClient> {
    const client = await NbdClient.connect({ path: this.socket });
    await client.go(name, { structured: true });
    return client;
  }
}

export function serveArguments(socket: string, targets: readonly string[], options: ServeArguments): string[] {
  return [
    ...targets,
    ...["--nbd", `unix:${socket}`, "--memory", options.memory ?? "16MiB"],
    ...(options.size === undefined ? [] : ["--size", options.size]),
    ...(options.pageSize === undefined ? [] : ["--page-size", String(options.pageSize)]),
    ...(options.flags ?? []),
  ];
}

/** Starts `pinfold serve`; resolves when clients can connect. */
export async function startServing(
  t: TestContext,
  undo: Undo,
  targets: readonly string[],
  options: ServeArguments = {},
): Promise<ServerProcess> {
  const socket = options.socket ?? join(scratchFolder(t), "nbd.sock");
  const server = new ServerProcess(undo, socket, serveArguments(socket, targets, options));
  await server.says("pinfold: ready");
  return server;
}
