/**
 * Small programs for the searches: actors that load, store, add, compare and swap, branch, lock and assert on a few words. As a subject
 * with all that subject.ts asks for: histories hashed, contention learnt, footprints; and as a reference that knows nothing of runs
 * and points and finds what can happen by going from state to state.
 *
 * A failed assertion is either a violation, or (`throws` false) ends its actor, so that all outcomes can be compared.
 */
import { Numbers } from "../../explore/search/numbers.js";
import { STOP, type Subject, type Turns, Violation } from "../../explore/search/subject.js";
import { lowest } from "../../explore/search/turns.js";

export type Operation =
  | { readonly kind: "load"; readonly word: number; readonly register: number }
  | { readonly kind: "store"; readonly word: number; readonly value: number }
  | { readonly kind: "copy"; readonly word: number; readonly register: number; readonly plus: number }
  | { readonly kind: "add"; readonly word: number; readonly value: number; readonly register: number }
  | {
      readonly kind: "swap";
      readonly word: number;
      readonly expected: number;
      readonly value: number;
      readonly register: number;
    }
  | { readonly kind: "lock" | "unlock" | "await" | "spin"; readonly word: number }
  | { readonly kind: "skip" | "back"; readonly register: number; readonly value: number; readonly count: number }
  | { readonly kind: "assert"; readonly register: number; readonly value: number };

export interface Program {
  readonly words: number;
  readonly actors: readonly (readonly Operation[])[];
}

const registers = 2;
/** Words hold less: a program with a loop has not too many states. */
const values = 4;

/** An actor between two operations. */
interface Actor {
  at: number;
  registers: number[];
  failed: boolean;
}

interface World {
  memory: number[];
  actors: Actor[];
}

function newWorld(program: Program): World {
  return {
    memory: Array.from({ length: program.words }, () => 0),
    actors: program.actors.map(() => ({ at: 0, registers: Array.from({ length: registers }, () => 0), failed: false })),
  };
}

/** Touches no word. */
function isLocal(operation: Operation): boolean {
  return !("word" in operation);
}

/** Whether the actor waits for a word, or has ended. */
function canGoOn(program: Program, world: World, number: number): boolean {
  const actor = world.actors[number] as Actor;
  const operation = program.actors[number]?.[actor.at];
  if (operation === undefined || actor.failed) return false;
  if (operation.kind === "lock") return world.memory[operation.word] === 0;
  return operation.kind !== "await" || world.memory[operation.word] !== 0;
}

/** What an operation did: what it read (-1: nothing) and whether it wrote. */
interface Effect {
  read: number;
  wrote: boolean;
}

/** Does the actor's next operation. */
function act(program: Program, world: World, number: number): Effect {
  const actor = world.actors[number] as Actor;
  const operation = program.actors[number]?.[actor.at] as Operation;
  const effect: Effect = { read: -1, wrote: false };
  const { memory } = world;
  actor.at++;
  if (!("word" in operation)) {
    const holds = actor.registers[operation.register] === operation.value;
    if (operation.kind === "skip" && holds) actor.at += operation.count;
    if (operation.kind === "back" && holds) actor.at -= operation.count;
    if (operation.kind === "assert") actor.failed = holds;
    return effect;
  }
  const before = memory[operation.word] as number;
  if (operation.kind === "load" || operation.kind === "add" || operation.kind === "swap" || operation.kind === "spin") {
    effect.read = before;
  }
  let after = before;
  if (operation.kind === "load") actor.registers[operation.register] = before;
  if (operation.kind === "store") after = operation.value;
  if (operation.kind === "copy") after = ((actor.registers[operation.register] as number) + operation.plus) % values;
  if (operation.kind === "add") {
    after = (before + operation.value) % values;
    if (operation.register >= 0) actor.registers[operation.register] = before;
  }
  if (operation.kind === "swap") {
    if (before === operation.expected) after = operation.value;
    actor.registers[operation.register] = before;
  }
  if (operation.kind === "lock") after = 1;
  if (operation.kind === "unlock") after = 0;
  if (operation.kind === "spin" && before === 0) actor.at--;
  memory[operation.word] = after;
  const writes = ["store", "copy", "add", "lock", "unlock"].includes(operation.kind);
  effect.wrote = writes || (operation.kind === "swap" && before === operation.expected);
  return effect;
}

export interface ProgramOptions {
  readonly everyPoint?: boolean;
  /** Asks also where only one actor can go on, though not at every point. */
  readonly asksAlone?: boolean;
  /** A failed assertion is a violation. */
  readonly throws?: boolean;
  /** The state has where actors are and what they know, not what they read on the way: programs with loops come back to a state. */
  readonly forgets?: boolean;
}

export class ProgramSubject implements Subject {
  everyPoint: boolean;
  reads = 0;
  writes = 0;
  /** What the runs led to that came to their end; of the present pass. */
  readonly outcomes = new Set<string>();
  #learnt = false;
  readonly #loops: boolean;
  /** States since only one could go on. */
  readonly #alone = new Set<string>();
  readonly #program: Program;
  readonly #asksAlone: boolean;
  readonly #throws: boolean;
  readonly #forgets: boolean;
  #world: World;
  /** By actor: two halves of the hash of what it read. */
  #histories: [number, number][] = [];
  /** By word: which actors load and write it, as far as is known. */
  readonly #loaders: number[];
  readonly #writers: number[];

  constructor(program: Program, options: ProgramOptions = {}) {
    this.#program = program;
    this.everyPoint = options.everyPoint ?? false;
    this.#asksAlone = options.asksAlone ?? false;
    this.#throws = options.throws ?? false;
    this.#forgets = options.forgets ?? false;
    this.#loops = program.actors.some((operations) =>
      operations.some(({ kind }) => kind === "spin" || kind === "back"),
    );
    this.#world = newWorld(program);
    this.#loaders = Array.from({ length: program.words }, () => 0);
    this.#writers = Array.from({ length: program.words }, () => 0);
  }

  get learnt(): boolean {
    return this.#learnt;
  }

  /** A search clears it when it begins a pass: what was found before says nothing about that pass. */
  set learnt(learnt: boolean) {
    if (!learnt) this.outcomes.clear();
    this.#learnt = learnt;
  }

  name(alternative: number): string {
    return String.fromCharCode(65 + alternative);
  }

  run(turns: Turns): boolean {
    this.#world = newWorld(this.#program);
    this.#histories = this.#program.actors.map(() => [1, 2]);
    this.#alone.clear();
    let current = -1;
    for (;;) {
      const enabled = this.#enabled();
      if (enabled === 0) break;
      if (this.#loops) this.#verifyNoEndlessLoop(enabled);
      if (current >= 0 && ((enabled >>> current) & 1) === 0) current = -1;
      if (this.#isPoint(enabled, current)) {
        current = turns.decide(enabled, current);
        if (current === STOP) return false;
        this.reads = 0;
        this.writes = 0;
      } else if (current < 0) {
        current = lowest(enabled);
      }
      this.#step(current);
    }
    const stuck = this.#stuck();
    this.outcomes.add(outcomeOf(this.#world));
    if (stuck !== "") throw new Violation("deadlock", `nobody can go on: ${stuck}`);
    return true;
  }

  state(): number {
    let low = 17;
    let high = 29;
    for (const word of this.#world.memory) {
      low = mix(low, word);
      high = mix(high ^ 5, word);
    }
    for (const actor of this.#forgets ? this.#world.actors : []) {
      for (const known of [actor.at, actor.failed ? 1 : 0, ...actor.registers]) {
        low = mix(low, known);
        high = mix(high ^ 5, known);
      }
    }
    for (const [first, second] of this.#forgets ? [] : this.#histories) {
      low = mix(low, first);
      high = mix(high, second);
    }
    return (high & 0x1fffff) * 2 ** 32 + (low >>> 0);
  }

  #enabled(): number {
    let enabled = 0;
    for (let number = 0; number < this.#world.actors.length; number++) {
      if (canGoOn(this.#program, this.#world, number)) enabled |= 1 << number;
      else this.#noteWait(number);
    }
    return enabled;
  }

  #isPoint(enabled: number, current: number): boolean {
    if (this.everyPoint) return true;
    const single = (enabled & (enabled - 1)) === 0;
    if (single && !this.#asksAlone) return false;
    return current < 0 || this.#contended(current);
  }

  #operation(number: number): Operation | undefined {
    return this.#program.actors[number]?.[(this.#world.actors[number] as Actor).at];
  }

  #contended(number: number): boolean {
    const operation = this.#operation(number);
    if (operation === undefined || !("word" in operation)) return false;
    // Else it might look for ever and never ask.
    if (operation.kind === "spin") return true;
    const loads = operation.kind === "load" || operation.kind === "await";
    const theirs = (this.#writers[operation.word] as number) | (loads ? 0 : (this.#loaders[operation.word] as number));
    return (theirs & ~(1 << number)) !== 0;
  }

  /** Whoever waits for a word contends for it, though it has not touched it yet. */
  #noteWait(number: number): void {
    const operation = this.#operation(number);
    if (operation?.kind === "lock") this.#note(this.#writers, operation.word, number);
    if (operation?.kind === "await") this.#note(this.#loaders, operation.word, number);
  }

  #note(accesses: number[], word: number, number: number): void {
    const before = accesses[word] as number;
    const after = before | (1 << number);
    if (after === before) return;
    accesses[word] = after;
    const actors = (this.#loaders[word] as number) | (this.#writers[word] as number);
    if (this.#writers[word] !== 0 && (actors & (actors - 1)) !== 0) this.learnt = true;
  }

  /** An operation on a word, and what follows that touches none. */
  #step(number: number): void {
    const actor = this.#world.actors[number] as Actor;
    const history = this.#histories[number] as [number, number];
    do {
      const operation = this.#operation(number) as Operation;
      const { at } = actor;
      const effect = act(this.#program, this.#world, number);
      if ("word" in operation) {
        const writes = effect.wrote || operation.kind === "swap";
        this.#note(writes ? this.#writers : this.#loaders, operation.word, number);
        if (effect.wrote) this.writes |= 1 << operation.word;
        else this.reads |= 1 << operation.word;
      }
      // Somebody who looks again and again is where it was.
      if (actor.at === at) continue;
      history[0] = mix(mix(history[0], at), effect.read);
      history[1] = mix(mix(history[1], at ^ 77), effect.read);
      if (actor.failed && this.#throws) {
        // Here they are not to be relied on.
        this.reads = 0;
        this.writes = 0;
        throw new Violation("assertion", `${this.name(number)} fails at its operation ${at + 1}`);
      }
    } while (this.#atLocal(number));
  }

  #atLocal(number: number): boolean {
    const operation = this.#operation(number);
    return operation !== undefined && isLocal(operation) && !(this.#world.actors[number] as Actor).failed;
  }

  /** Who comes back to a state while nobody else can go on never ends. */
  #verifyNoEndlessLoop(enabled: number): void {
    if ((enabled & (enabled - 1)) !== 0) {
      this.#alone.clear();
      return;
    }
    const state = outcomeOf(this.#world);
    if (this.#alone.has(state)) throw new Violation("livelock", `${this.name(lowest(enabled))} goes on for ever`);
    this.#alone.add(state);
  }

  #stuck(): string {
    return this.#world.actors
      .map((actor, number) =>
        actor.failed || this.#operation(number) === undefined ? "" : this.name(number) + actor.at,
      )
      .filter((text) => text !== "")
      .join(" ");
  }
}

function mix(hash: number, value: number): number {
  const mixed = Math.imul((hash ^ value) + 0x7f4a7c15, 0x2c1b3c6d);
  return mixed ^ (mixed >>> 13) ^ (mixed << 7);
}

/** Memory, registers, and where each actor ended. */
function outcomeOf(world: World): string {
  return `${world.memory.join(",")}|${world.actors.map((actor) => `${actor.registers.join(",")}@${actor.at}${actor.failed ? "!" : ""}`).join("|")}`;
}

/** All outcomes, found by going from state to state. Undefined: more states than that. */
export function reachableOutcomes(program: Program, statesMax: number): Set<string> | undefined {
  const outcomes = new Set<string>();
  const open = [newWorld(program)];
  const known = new Set([outcomeOf(open[0] as World)]);
  for (let world = open.pop(); world !== undefined; world = open.pop()) {
    let ended = true;
    for (let number = 0; number < world.actors.length; number++) {
      if (!canGoOn(program, world, number)) continue;
      ended = false;
      const next = structuredClone(world);
      act(program, next, number);
      const text = outcomeOf(next);
      if (known.has(text)) continue;
      known.add(text);
      open.push(next);
      if (known.size > statesMax) return undefined;
    }
    if (ended) outcomes.add(outcomeOf(world));
  }
  return outcomes;
}

export interface ProgramSize {
  /** Interleavings of all operations on words, branches left aside. */
  readonly interleavingsMax: number;
  /** Some wait by looking again and again: such a program has runs without end. */
  readonly spins?: boolean;
}

/** The program of a seed. */
export function randomProgram(seed: number, size: ProgramSize): Program {
  const numbers = new Numbers(seed);
  for (;;) {
    const locks = numbers.below(3);
    const data = 2 + numbers.below(3);
    const actors = Array.from({ length: 2 + numbers.below(2) }, () => {
      const operations = Array.from({ length: 2 + numbers.below(5) }, () =>
        randomOperation(numbers, data, size.spins ?? false),
      );
      return locks === 0 ? operations : withLocks(operations, numbers, data, locks);
    });
    const lengths = actors.map((operations) => operations.filter((operation) => !isLocal(operation)).length);
    if (interleavings(lengths) <= size.interleavingsMax) return { words: data + locks, actors };
  }
}

function randomOperation(numbers: Numbers, data: number, spins: boolean): Operation {
  const word = numbers.below(data);
  const register = numbers.below(registers);
  const value = numbers.below(3);
  const choice = numbers.below(spins ? 26 : 24);
  if (choice < 6) return { kind: "load", word, register };
  if (choice < 9) return { kind: "store", word, value };
  if (choice < 12) return { kind: "copy", word, register, plus: value };
  if (choice < 14) return { kind: "add", word, value: 1, register: numbers.below(registers + 1) - 1 };
  if (choice < 17) return { kind: "swap", word, expected: value, value: numbers.below(3), register };
  if (choice < 20) return { kind: "skip", register, value, count: 1 + numbers.below(2) };
  if (choice < 23) return { kind: "assert", register, value: 1 + numbers.below(2) };
  return choice === 23 ? { kind: "await", word } : { kind: "spin", word };
}

/** A small program most of whose actors do their few operations again and again. */
export function loopingProgram(seed: number): Program {
  const numbers = new Numbers(seed);
  const words = 1 + numbers.below(3);
  const actors = Array.from({ length: 2 + numbers.below(3) }, () => {
    const operations = Array.from({ length: 1 + numbers.below(3) }, () => loopOperation(numbers, words));
    const count = operations.length + 1;
    const back = { register: numbers.below(registers), value: numbers.below(2), count };
    return numbers.below(3) === 0 ? operations : [...operations, { kind: "back", ...back } as const];
  });
  return { words, actors };
}

/** All about two values: so that actors often come back to where they were. */
function loopOperation(numbers: Numbers, words: number): Operation {
  const word = numbers.below(words);
  const value = numbers.below(2);
  const choice = numbers.below(4);
  if (choice === 0) return { kind: "load", word, register: 0 };
  if (choice === 1) return { kind: "store", word, value };
  if (choice === 2) return { kind: "copy", word, register: 0, plus: value };
  return { kind: "swap", word, expected: numbers.below(2), value, register: 0 };
}

/** Puts a piece of the operations under a lock or two, not always well nested, and not always released. */
function withLocks(operations: Operation[], numbers: Numbers, first: number, locks: number): Operation[] {
  const result = [...operations];
  for (let count = 1 + numbers.below(locks); count > 0; count--) {
    const word = first + numbers.below(locks);
    const from = numbers.below(result.length);
    const to = from + 1 + numbers.below(result.length - from);
    if (numbers.below(8) !== 0) result.splice(to, 0, { kind: "unlock", word });
    result.splice(from, 0, { kind: "lock", word });
  }
  return result;
}

function interleavings(lengths: readonly number[]): number {
  let count = 1;
  let total = 0;
  for (const length of lengths) {
    for (let at = 1; at <= length; at++) count = (count * ++total) / at;
  }
  return count;
}
