/**
 * Lengths of tables in the explorer, in place of those in src/sync/layout.ts: so that a memory is small, and a run short.
 */
export const shortTables = {
  THREADS_MAX: 4,
  MAPPINGS_MAX: 2,
  NODES_MAX: 12,
  TRANSFERS_MAX: 2,
  TRANSITS_MAX: 4,
  SCOPE_HOLDS_MAX: 8,
  FACTS_BYTES: 512,
  HEADER_BYTES: 384,
} as const;
