/**
 * How many schedules a second the explorer runs: the smallest scenarios, searched again and again, by one thread and by as many as
 * there are processors, in turn, several rounds.
 *
 * node bench/explorer.mjs [race,race,...] [rounds] [milliseconds]     (after npm run build)
 * Prints schedules a second of all threads together (median, least, most), and scheduling points a schedule.
 */
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { readInterleaved, tasksOf, worldOf } from "../build/explore/check/tasks.js";
import { search } from "../build/explore/search/exhaustive.js";

const races = (process.argv[2] ?? "R4,R5,R6,R19").split(",");
const rounds = Number(process.argv[3] ?? 7);
const milliseconds = Number(process.argv[4] ?? 1_500);

if (isMainThread) await compare();
else searchAgain();

async function compare() {
  const crews = [1, availableParallelism()];
  for (const race of races) {
    const crew = [];
    for (let count = 0; count < Math.max(...crews); count++) {
      const worker = new Worker(new URL(import.meta.url), { workerData: { race } });
      await told(worker);
      crew.push(worker);
    }
    const rates = crews.map(() => []);
    let points = 0;
    for (let round = 0; round < rounds; round++) {
      for (const [at, threads] of crews.entries()) {
        const answers = crew.slice(0, threads).map(async (worker) => {
          worker.postMessage(milliseconds);
          return told(worker);
        });
        const done = await Promise.all(answers);
        rates[at].push(done.reduce((sum, { rate }) => sum + rate, 0));
        points = done[0].points;
      }
    }
    const texts = crews.map((threads, at) => `${threads} thread${threads > 1 ? "s" : ""}: ${summary(rates[at])}`);
    console.log(`${race.padEnd(4)} ${points.toFixed(0)} points a schedule; ${texts.join("; ")}`);
    await Promise.all(crew.map((worker) => worker.terminate()));
  }
}

/** @throws what the thread throws */
async function told(worker) {
  const [message] = await once(worker, "message");
  return message;
}

function summary(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b).map((number) => Math.round(number).toLocaleString("en"));
  return `${sorted[sorted.length >> 1]} (${sorted[0]} to ${sorted.at(-1)})`;
}

function searchAgain() {
  const source = readInterleaved();
  const task = tasksOf(source, { races: [workerData.race], protocol: "locked" }).find(
    ({ without }) => without === null,
  );
  const world = worldOf(source, task);
  // Who contends is learnt by the first search; the code is compiled meanwhile.
  const searchOnce = (warmUpRuns) => {
    const result = search(world, { bound: task.bound, warmUpRuns });
    if (!result.complete || result.violations.length > 0) throw new Error(`${task.race} is not as expected`);
    return result;
  };
  for (let count = 0; count < 50; count++) searchOnce(30);
  parentPort.on("message", (time) => {
    let schedules = 0;
    let points = 0;
    const begin = performance.now();
    while (performance.now() - begin < time) {
      const result = searchOnce(0);
      schedules += result.schedules;
      points += result.points;
    }
    const rate = (schedules * 1000) / (performance.now() - begin);
    parentPort.postMessage({ rate, points: points / schedules });
  });
  parentPort.postMessage("ready");
}
