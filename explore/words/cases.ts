/**
 * All scenarios of the page words.
 *
 * See also: scenarios/, enumerator.ts (who explores them), ../check/steps.ts, test/sync/interleavings.test.ts (with their mutants).
 */
import type { Case } from "./scenarios/case.js";
import { dirtyCases } from "./scenarios/dirty.js";
import { lockCases } from "./scenarios/locks.js";
import { readerCases } from "./scenarios/readers.js";
import { recoveryCases } from "./scenarios/recovery.js";
import { tableCases } from "./scenarios/table.js";
import { transferCases } from "./scenarios/transfers.js";
import { viewCases } from "./scenarios/views.js";
import { waiterCases } from "./scenarios/waiters.js";

export const allCases: readonly Case[] = [
  ...lockCases,
  ...tableCases,
  ...waiterCases,
  ...dirtyCases,
  ...viewCases,
  ...readerCases,
  ...transferCases,
  ...recoveryCases,
];
