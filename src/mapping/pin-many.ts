/**
 * A pin over several ranges of several files: all or nothing, every page locked once, in one order for everybody
 * (by file, then page), each in the strongest mode that any of the ranges asks for.
 */
import type { AddressSpace } from "../cache/space.js";
import type { Scope } from "../frames/scopes.js";
import type { Core } from "./core.js";
import { giveCredits, takeCredits } from "./frame-supply.js";
import { checkEnd, checkPin, grantPin, lockScoped, newPin, takeAbortably, unlockPages } from "./pin.js";
import type { NewPin, PinRecord } from "./pin-registry.js";
import { throttle } from "./throttle.js";
import { PinfoldError } from "../base/errors.js";

export interface RangeRequest {
  readonly space: AddressSpace;
  readonly position: number;
  readonly length: number;
  readonly write?: boolean | undefined;
}

interface RangePart {
  readonly request: RangeRequest;
  readonly first: number;
  readonly pages: number;
}

interface PageWish {
  readonly space: AddressSpace;
  readonly index: number;
  write: boolean;
}

/**
 * Pins for each of the ranges, in their order. Without a scope they get one of their own, which ends with the last put.
 * @throws PinfoldError as pinRange
 */
export async function pinMany(
  core: Core,
  requests: readonly RangeRequest[],
  options: { signal?: AbortSignal | undefined; scope?: Scope | undefined },
): Promise<PinRecord[]> {
  const { signal } = options;
  const parts = requests.map((request) => ({ request, ...checkPin(core, request.space, request) }));
  signal?.throwIfAborted();
  const wishes = sortWishes(parts);
  if (wishes.length > core.frames.count)
    throw new PinfoldError(
      "EINVAL",
      `${wishes.length} pages can never be pinned at once: the cache has ${core.frames.count}`,
    );
  const written = new Set(wishes.filter(({ write }) => write).map(({ space }) => space));
  for (const space of written) await throttle(core, space, signal);
  const scope = options.scope ?? core.scopes.open();
  const credits = wishes.length > 1 ? wishes.length : 0;
  if (credits > 0) await takeCredits(core, credits, signal);
  const locked: NewPin[] = [];
  const pins: NewPin[] = [];
  const work = async () => {
    for (const { space, index, write } of wishes) {
      const page = newPin(space, { position: index * space.pageSize, length: 1, write, scope }, index, 0);
      page.frames.push(await lockScoped(core, space, index, write, scope, { signal, scope }));
      locked.push(page);
    }
    // Each range gets its own hold of its pages within the scope, and the credits of those that no range before it has.
    for (const [at, { request, first, pages }] of parts.entries()) {
      const pin = newPin(request.space, { ...request, scope }, first, credits === 0 ? 0 : newPagesOf(parts, at));
      pins.push(pin);
      for (let i = 0; i < pages; i++) {
        pin.frames.push(await lockScoped(core, request.space, first + i, pin.write, scope, { signal, scope }));
      }
      checkEnd(pin);
      if (pin.write) await grantPin(core, pin);
    }
  };
  await takeAbortably(work(), signal, () => {
    for (const pin of [...pins, ...locked].reverse()) unlockPages(core, pin, false);
    giveCredits(core, credits);
    if (!options.scope) core.scopes.close(scope);
  });
  for (const page of locked.reverse()) unlockPages(core, page, false);
  // A scope made here is only a number; it may end while its pins go on, since nobody can wait in it any more.
  if (!options.scope) core.scopes.close(scope);
  return pins.map((pin) => core.pins.add(pin));
}

/** How many pages of a range are in none of the ranges before it: together they are all pages, once each. */
function newPagesOf(parts: readonly RangePart[], at: number): number {
  const { request, first, pages } = parts[at] as RangePart;
  let count = 0;
  for (let index = first; index < first + pages; index++) {
    const isKnown = parts
      .slice(0, at)
      .some((part) => part.request.space === request.space && index >= part.first && index < part.first + part.pages);
    if (!isKnown) count += 1;
  }
  return count;
}

function sortWishes(parts: readonly RangePart[]): PageWish[] {
  const wishes = new Map<string, PageWish>();
  for (const { request, first, pages } of parts) {
    for (let index = first; index < first + pages; index++) {
      const key = `${request.space.id}:${index}`;
      const wish = wishes.get(key) ?? { space: request.space, index, write: false };
      wish.write ||= request.write === true;
      wishes.set(key, wish);
    }
  }
  return [...wishes.values()].sort((a, b) => a.space.id - b.space.id || a.index - b.index);
}
