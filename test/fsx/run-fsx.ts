/**
 * fsx on the library for as long as asked: `npm run fsx -- [--operations N] [--seconds S] [--seed N] [--folder DIR]`.
 *
 * Rounds of 20,000 operations; each takes a page size, a memory smaller than its files, O_DIRECT or not, one to three files of one
 * cache at once. A failure prints the seed, the round and the last operations; `--seed` with that seed runs it again.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { PageCache } from "../../src/index.js";
import { SeededRandom } from "../../src/testing/index.js";
import { Fsx } from "./fsx.js";
import { type LibraryFile, openLibraryFile } from "./library-file.js";

export interface FsxOptions {
  readonly operations: number;
  /** Ends after so long, whatever is left of the operations. */
  readonly seconds?: number | undefined;
  readonly seed: number;
  readonly folder: string;
  readonly note?: (line: string) => void;
}

const roundOperations = 20_000;

interface Shape {
  readonly pageSize: number;
  readonly frames: number;
  readonly files: number;
  readonly direct: boolean;
}

function shapeOf(random: SeededRandom): Shape {
  return {
    pageSize: [4096, 16_384, 65_536][random.below(3)] as number,
    frames: 64 + random.below(100),
    files: 1 + random.below(3),
    direct: random.below(3) === 0,
  };
}

/** @throws Error with the last operations. Resolves to the operations that were done, by name. */
async function oneRound(
  folder: string,
  random: SeededRandom,
  shape: Shape,
  steps: number,
): Promise<Map<string, number>> {
  const { pageSize, frames, files, direct } = shape;
  const cache = await PageCache.open({
    memory: frames * pageSize,
    pageSize,
    writebackIntervalMs: 4,
    dirtyExpireMs: 12,
  });
  const counts = new Map<string, number>();
  const opened: LibraryFile[] = [];
  try {
    const maxBytes = Math.floor((1.5 * frames * pageSize) / files);
    await Promise.all(
      Array.from({ length: files }, async (_, at) => {
        const path = join(folder, `file-${at}`);
        rmSync(path, { force: true });
        const file = await openLibraryFile(cache, path, direct);
        opened.push(file);
        const fsx = new Fsx(file, maxBytes, new SeededRandom(random.below(2 ** 31)));
        for (let done = 0; done < steps / files; done++) await fsx.step();
        await fsx.finish();
        for (const [name, count] of fsx.counts) counts.set(name, (counts.get(name) ?? 0) + count);
      }),
    );
    for (const file of opened) await file.close();
    cache.verify({ quiesce: true });
  } finally {
    await cache.close({ discard: true });
  }
  return counts;
}

/** @throws Error with the seed, the round and the last operations. Resolves to how many operations were done. */
export async function runFsx({ operations, seconds, seed, folder, note }: FsxOptions): Promise<number> {
  const untilMs = seconds === undefined ? Number.POSITIVE_INFINITY : Date.now() + seconds * 1000;
  const random = new SeededRandom(seed);
  let done = 0;
  for (let round = 0; done < operations && Date.now() < untilMs; round++) {
    const shape = shapeOf(random);
    const steps = Math.min(roundOperations, operations - done);
    try {
      const counts = await oneRound(folder, new SeededRandom(random.below(2 ** 31)), shape, steps);
      const said = [...counts].map(([name, count]) => `${name} ${count}`).join(", ");
      note?.(`round ${round}: ${JSON.stringify(shape)}: ${said}`);
    } catch (error) {
      const what = `fsx: seed ${seed}, round ${round}, ${JSON.stringify(shape)}`;
      throw new Error(`${what}: ${(error as Error).message}`, { cause: error });
    }
    done += steps;
  }
  return done;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      operations: { type: "string" },
      seconds: { type: "string" },
      seed: { type: "string" },
      folder: { type: "string" },
    },
  });
  const numberOf = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text));
  const seconds = numberOf(values.seconds);
  const operations = numberOf(values.operations) ?? (seconds === undefined ? 100_000 : Number.MAX_SAFE_INTEGER);
  const seed = numberOf(values.seed) ?? process.pid;
  const folder = mkdtempSync(join(values.folder ?? tmpdir(), "pinfold-fsx-"));
  const startMs = Date.now();
  console.log(`fsx: seed ${seed}`);
  try {
    const done = await runFsx({ operations, seconds, seed, folder, note: (line) => console.log(line) });
    console.log(`fsx: ${done} operations well in ${Math.round((Date.now() - startMs) / 1000)} s`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (process.argv[1] === import.meta.filename) {
  await main().catch((error: unknown) => {
    console.error((error as Error).message);
    process.exitCode = 1;
  });
}
