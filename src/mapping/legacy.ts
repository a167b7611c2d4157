/**
 * The old way of releasing pages, and the list of who still uses it, so that a code base can be converted call by call.
 */
import { limits } from "../base/limits.js";
import { callSite } from "./pin-registry.js";

export interface LegacyCaller {
  /** Where putPage was called. */
  readonly site: string;
  readonly calls: number;
}

export class LegacyCallers {
  readonly #sites = new Map<string, number>();

  note(): void {
    const site = callSite();
    const calls = this.#sites.get(site);
    if (calls !== undefined || this.#sites.size < limits.legacyCallersMax) this.#sites.set(site, (calls ?? 0) + 1);
  }

  list(): LegacyCaller[] {
    return [...this.#sites].map(([site, calls]) => ({ site, calls })).sort((a, b) => b.calls - a.calls);
  }
}
