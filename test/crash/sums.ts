/** The checksums of a victim's file, after it was killed or the power went. */
import { existsSync } from "node:fs";
import { rebuildSums } from "../../src/stores/checksums/open.js";
import { runLater } from "../../src/stores/checksums/steps.js";
import { verifySums } from "../../src/stores/checksums/verify.js";
import { FileStore } from "../../src/stores/file/file-store.js";

/**
 * Compares a file with its checksums, if it has some: how many bytes were torn. These are taken for right then, so that the next victim
 * can go on.
 * @throws Error where anything else is wrong
 */
export async function checkSums(path: string): Promise<number> {
  if (!existsSync(`${path}.sums`)) return 0;
  const data = await FileStore.open(path, { readOnly: true });
  const sums = await FileStore.open(`${path}.sums`);
  try {
    // Killed before the first of them were made.
    if (data.sizeBytes === 0 && sums.sizeBytes < 4096) return 0;
    const { wrongBytes, findings } = await verifySums(data, sums);
    const worse = findings.filter(({ what }) => what !== "torn");
    if (worse.length > 0) throw new Error(`checksums: ${JSON.stringify(worse.slice(0, 8))}`);
    if (wrongBytes > 0) await runLater(rebuildSums(data, sums, () => {}));
    return wrongBytes;
  } finally {
    await sums.close();
    await data.close();
  }
}
