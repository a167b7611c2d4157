/**
 * pinfold: a page cache. What is exported here is the public surface; docs/ says what it promises.
 */
import { usePathOpener } from "./api/path-opener.js";
import { openWithSums } from "./stores/checksums/paths.js";
import { pathStore } from "./stores/file/path-store.js";

usePathOpener({
  ...pathStore,
  open: (path, options, cells) => openWithSums(pathStore, path, options, cells),
});

export { CachedFile, type Advice, type GetOptions } from "./api/cached-file.js";
export type { SyncCallOptions } from "./api/file-sync.js";
export { channels } from "./api/events.js";
export { MappedView } from "./api/mapped-view.js";
export type { OpenOptions } from "./api/open-options.js";
export type { PageCacheOptions } from "./api/options.js";
export { PageCache, PinnedRanges, type CacheShare, type PinRange } from "./api/page-cache.js";
export { PinScope } from "./api/scope.js";
export type { CacheStats, FileStats, PinInfo } from "./api/stats.js";
export type { StreamOptions } from "./api/streams.js";
export { putPage, putUserPages, UserPage, UserPages } from "./api/user-pages.js";
export { PinfoldError, type ErrorCode, errorAdvice } from "./base/errors.js";
export type { LegacyCaller } from "./mapping/legacy.js";
export type { PagesToken } from "./mapping/transfer.js";
export type { MkwriteRequest, Store, StoreCapabilities, SyncRequest } from "./store/contract.js";
export { ChecksumStore, type ChecksumStoreOptions } from "./stores/checksums/checksum-store.js";
export { FileStore } from "./stores/file/file-store.js";
export { MemoryStore } from "./stores/memory/memory-store.js";
