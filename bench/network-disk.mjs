/**
 * The network disk beside nbdkit and qemu-nbd: 4 KiB random reads and writes by fio, depth 1 and 32, servers in turn.
 *
 * node bench/network-disk.mjs [rounds] [seconds]     (after npm run build; needs fio with its nbd engine, nbdkit, qemu-nbd, taskset)
 * The server runs on one core, fio on the other. Files of 256 MiB are made the same way for everybody; Pinfold has them in memory.
 * Prints thousand operations a second (median, least, most), and the ratio to nbdkit file, round by round.
 */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const rounds = Number(process.argv[2] ?? 5);
const seconds = Number(process.argv[3] ?? 3);
const dir = mkdtempSync(join(tmpdir(), "pinfold-bench-"));
const bytes = 256 * 1024 * 1024;
const main = new URL("../build/src/cli/main.js", import.meta.url).pathname;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const servers = {
  pinfold: (disk, socket) => [process.execPath, main, "serve", disk, "--memory", "768MiB", "--nbd", `unix:${socket}`],
  "nbdkit file": (disk, socket) => ["nbdkit", "-f", "-U", socket, "file", disk],
  "nbdkit memory": (_disk, socket) => ["nbdkit", "-f", "-U", socket, "memory", String(bytes)],
  "qemu-nbd": (disk, socket) => ["qemu-nbd", "-f", "raw", "-t", "-e", "8", "-k", socket, disk],
};

function fio(socket, rw, depth, runtime, extra = []) {
  const uri = `nbd+unix:///?socket=${socket}`;
  const options = [
    ...["--name=b", "--ioengine=nbd", `--uri=${uri}`, `--rw=${rw}`, "--bs=4k", `--iodepth=${depth}`, "--size=256m"],
    ...[`--runtime=${runtime}`, "--time_based", "--randrepeat=1", "--output-format=json", ...extra],
  ];
  const output = execFileSync("taskset", ["-c", "0", "fio", ...options], { encoding: "utf8" });
  // The engine prints a line of its own before the JSON.
  const { jobs } = JSON.parse(output.slice(output.indexOf("{")));
  return (jobs[0].read.iops + jobs[0].write.iops) / 1000;
}

async function measure(name, start, round, results) {
  const disk = join(dir, `disk-${name.replace(" ", "-")}`);
  const socket = join(dir, `${round}.sock`);
  if (!existsSync(disk)) execFileSync("dd", ["if=/dev/urandom", `of=${disk}`, "bs=4k", "count=65536", "status=none"]);
  rmSync(socket, { force: true });
  const server = spawn("taskset", ["-c", "1", ...start(disk, socket)], { stdio: "ignore" });
  for (let i = 0; i < 100 && !existsSync(socket); i++) await sleep(50);
  await sleep(200);
  execFileSync("nbdcopy", [`nbd+unix:///?socket=${socket}`, "null:"]);
  for (const rw of ["randread", "randwrite"]) {
    for (const depth of [1, 32]) {
      const key = `${rw} ${depth}`;
      results[key] ??= {};
      results[key][name] ??= [];
      results[key][name].push(fio(socket, rw, depth, seconds));
    }
  }
  server.kill("SIGTERM");
  await new Promise((resolve) => server.once("exit", resolve));
}

const results = {};
try {
  for (let round = 0; round < rounds; round++) {
    for (const [name, start] of Object.entries(servers)) await measure(name, start, round, results);
  }
} finally {
  rmSync(dir, { recursive: true, force: true });
}
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
console.log(`node ${process.version}, ${rounds} rounds of ${seconds} s, 4 KiB, thousand operations a second`);
for (const [key, byServer] of Object.entries(results)) {
  for (const [name, values] of Object.entries(byServer)) {
    const ratio = median(values.map((value, i) => value / byServer["nbdkit file"][i]));
    const spread = `${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)}`;
    console.log(
      `${key.padEnd(13)} ${name.padEnd(14)} ${median(values).toFixed(1).padStart(6)}  (${spread})  ${ratio.toFixed(2)} of nbdkit file`,
    );
  }
}
