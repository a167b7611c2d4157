/**
 * A shorter voyage that goes wrong in the same way, so that people can follow it: without the lives and tasks that it can do without.
 *
 * Which turns lead there changes with every task that is left out, so each shorter plan is tried with some other seeds. Greedy: after the
 * delta debugging of A. Zeller and R. Hildebrandt ("Simplifying and isolating failure-inducing input", IEEE Transactions on Software
 * Engineering 28(2), 2002).
 */
import { SeededRandom } from "../../src/base/seeded.js";
import type { Interleaved } from "../transform/emit.js";
import { type LifePlan, type VoyagePlan, cutPoint } from "./script.js";
import { type Wreck, sail } from "./voyage.js";

export interface ShortenLimits {
  /** Voyages in all. */
  readonly voyagesMax?: number;
  /** Seeds of turns that are tried with each shorter plan. */
  readonly seedsMax?: number;
}

export interface Shortened {
  readonly plan: VoyagePlan;
  readonly wreck: Wreck;
}

const voyagesMaxDefault = 4_000;
const seedsMaxDefault = 12;

/** The same kind of violation: numbers in its sentence may be others. */
function isAlike(one: Wreck, other: Wreck): boolean {
  const plain = ({ violation }: Wreck) => `${violation.kind}: ${violation.message.replace(/\d+(, \d+)*/g, "#")}`;
  return plain(one) === plain(other);
}

/** `plan` ends in `wreck`. */
export function shorten(
  source: Interleaved,
  plan: VoyagePlan,
  wreck: Wreck,
  mutant = "",
  limits: ShortenLimits = {},
): Shortened {
  return new Shortening(source, { plan, wreck }, mutant, limits).run();
}

class Shortening {
  readonly #source: Interleaved;
  readonly #mutant: string;
  readonly #seedsMax: number;
  readonly #random = new SeededRandom(1);
  #best: Shortened;
  #left: number;

  constructor(source: Interleaved, given: Shortened, mutant: string, limits: ShortenLimits) {
    this.#source = source;
    this.#best = given;
    this.#mutant = mutant;
    this.#left = limits.voyagesMax ?? voyagesMaxDefault;
    this.#seedsMax = limits.seedsMax ?? seedsMaxDefault;
  }

  run(): Shortened {
    const { plan, wreck } = this.#best;
    this.#try({ ...plan, lives: plan.lives.slice(0, wreck.life + 1) }, true);
    while (this.#left > 0 && this.#dropLives());
    for (let size = this.#longest(); size >= 1; size = Math.floor(size / 2))
      while (this.#left > 0 && this.#dropTasks(size));
    return this.#best;
  }

  #longest(): number {
    return Math.max(...this.#best.plan.lives.flatMap(({ crew }) => crew.flat().map(({ length }) => length)));
  }

  #dropLives(): boolean {
    const { lives } = this.#best.plan;
    return lives.some((_, at) => lives.length > 1 && this.#try({ ...this.#best.plan, lives: lives.toSpliced(at, 1) }));
  }

  /** Leaves out so many tasks of one user, anywhere. False: none can be left out. */
  #dropTasks(size: number): boolean {
    const { lives } = this.#best.plan;
    for (const [life, { crew }] of lives.entries())
      for (const [thread, users] of crew.entries())
        for (const [user, tasks] of users.entries())
          for (let from = tasks.length - size; from > -size && tasks.length > 0; from -= size)
            if (this.#tryWithout(life, thread, user, Math.max(0, from), Math.min(size, from + size))) return true;
    return false;
  }

  #tryWithout(life: number, thread: number, user: number, from: number, count: number): boolean {
    const { plan } = this.#best;
    const { crew } = plan.lives[life] as LifePlan;
    const shorter = crew.map((users, at) =>
      at !== thread ? users : users.map((tasks, other) => (other === user ? tasks.toSpliced(from, count) : tasks)),
    );
    return this.#try({ ...plan, lives: plan.lives.with(life, { ...(plan.lives[life] as LifePlan), crew: shorter }) });
  }

  /** Whether the plan, or one with other turns, goes wrong in the same way: then it is the best one. */
  #try(plan: VoyagePlan, isExact = false): boolean {
    for (let tries = 0; tries < (isExact ? 1 : this.#seedsMax) && this.#left > 0; tries++) {
      this.#left--;
      const tried = tries === 0 ? plan : { ...plan, lives: plan.lives.map((life) => this.#withOtherTurns(life)) };
      const wreck = sail(this.#source, tried, { mutant: this.#mutant });
      if (!wreck || !isAlike(wreck, this.#best.wreck)) continue;
      this.#best = { plan: { ...tried, lives: tried.lives.slice(0, wreck.life + 1) }, wreck };
      return true;
    }
    return false;
  }

  #withOtherTurns(life: LifePlan): LifePlan {
    const random = this.#random;
    const { cutAt } = life.odds;
    const odds = { ...life.odds, cutAt: cutAt === undefined ? undefined : cutPoint(random, life.crew) };
    const end = { ...life.end, seed: random.below(2 ** 32) };
    return { ...life, odds, end, seed: random.below(2 ** 32) };
  }
}
