/** The first example: pages of a file, changed in place, then made durable. Works in a folder that goes away at the end. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PageCache, PinfoldError, putUserPages } from "pinfold";

const folder = await mkdtemp(join(tmpdir(), "pinfold-first-"));
try {
  await using cache = await PageCache.open({ memory: "16MiB" }); // taken now, never grows
  await using file = await cache.open(join(folder, "data.bin"), { create: true, size: "64MiB" });

  {
    using pages = await file.getUserPages(4000, 10_000, { write: true }); // ENOSPC, EROFS, EFBIG here or never
    for (const page of pages) page.bytes.fill(1); // this is the cache, not a copy
  } // putUserPages

  const pages = await file.getUserPages(4000, 8);
  console.log("first byte", pages.bytes[0]);
  putUserPages(pages);

  await file.sync(); // durable, or it throws
  console.log("dirty pages", cache.stats().dirtyPages);
} catch (error) {
  if (error instanceof PinfoldError) console.error(error.code, error.advice);
  throw error;
} finally {
  await rm(folder, { recursive: true });
}
