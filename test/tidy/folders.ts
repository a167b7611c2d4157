/** Every folder of src/ has one page that says what it is for: README.md. */
import { posix } from "node:path";
import type { TreeFile } from "./tree.js";

const linesMax = 120;

export function checkFolderPages(files: readonly TreeFile[]): string[] {
  const folders = new Set<string>();
  for (const { path } of files.filter((file) => file.path.startsWith("src/"))) {
    for (let folder = posix.dirname(path); folder !== "src"; folder = posix.dirname(folder)) folders.add(folder);
  }
  return [...folders].toSorted().flatMap((folder) => {
    const page = files.find((file) => file.path === `${folder}/README.md`);
    if (page === undefined) return [`${folder}/README.md: is missing`];
    const lines = page.text.replace(/\n$/, "").split("\n").length;
    return lines <= linesMax ? [] : [`${page.path}:${linesMax + 1}: ${lines} lines, at most ${linesMax}`];
  });
}
