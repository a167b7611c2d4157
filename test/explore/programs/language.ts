/**
 * Small programs whose logs are the same whether they run as they are or transformed: order of jobs, and what the transform writes.
 */
/* oxlint-disable typescript/await-thenable, typescript/no-misused-promises, unicorn/no-thenable, unicorn/no-unnecessary-await -- what the language does with them is tested */
export type Log = (entry: unknown) => void;
export type Program = (log: Log) => Promise<void>;

const soon = async (log: Log, name: string, turns: number): Promise<string> => {
  for (let turn = 0; turn < turns; turn++) await undefined;
  log(name);
  return name;
};

class Counter {
  readonly #log: Log;
  #sum = 0;
  readonly later = async (more: number): Promise<number> => {
    await undefined;
    this.#sum += more;
    return this.#sum;
  };

  constructor(log: Log) {
    this.#log = log;
  }

  get sum(): number {
    return this.#sum;
  }

  async addAll(values: readonly number[]): Promise<number> {
    await Promise.all(values.map((value) => this.#add(value)));
    return this.#sum;
  }

  async #add(value: number, times = 1): Promise<void> {
    for (let time = 0; time < times; time++) {
      const before = this.#sum;
      await soon(this.#log, `add ${value}`, value);
      this.#sum = before + value;
    }
  }
}

async function* letters(log: Log): AsyncGenerator<string> {
  log("letters are not explored");
  yield "a";
}

export const programs: Readonly<Record<string, Program>> = {
  async "an await goes on one job later, whatever it awaits"(log) {
    const first = soon(log, "first", 2);
    queueMicrotask(() => log("microtask"));
    log(await 7);
    log(await Promise.resolve("resolved"));
    log(await first);
  },

  async "an async function that answers a promise settles three jobs later"(log) {
    const inner = async () => Promise.resolve("inner");
    const plain = async () => "plain";
    const marks = Promise.all([1, 2, 3, 4, 5].map((turns) => soon(log, `mark ${turns}`, turns)));
    void inner().then((value) => log(value));
    void plain().then((value) => log(value));
    await marks;
  },

  async "all, allSettled and race take as long as theirs"(log) {
    const marks = Promise.all([1, 2, 3, 4, 5, 6].map((turns) => soon(log, `mark ${turns}`, turns)));
    const no = () => Promise.reject(new Error("no"));
    void Promise.all([1, Promise.resolve(2)]).then((values) => log(values));
    void Promise.allSettled([no(), Promise.resolve(3)]).then((values) => log(values.map(({ status }) => status)));
    void Promise.race([soon(log, "slow", 3), soon(log, "fast", 1)]).then((value) => log(`won by ${value}`));
    void Promise.all([no(), 1]).catch((error: Error) => log(error.message));
    await marks;
  },

  async "thenables are followed, once"(log) {
    const marks = Promise.all([1, 2, 3, 4, 5].map((turns) => soon(log, `mark ${turns}`, turns)));
    const thenable = (answer: unknown) => ({
      then(resolve: (value: unknown) => void) {
        resolve(answer);
        resolve("again");
      },
    });
    const broken = {
      then() {
        throw new Error("broken");
      },
    };
    log(await thenable("plain"));
    log(await thenable(Promise.resolve("promise")));
    await Promise.resolve(broken as unknown).catch((error: Error) => log(error.message));
    await marks;
  },

  async "finally passes on what there was, and throws what it throws"(log) {
    const marks = Promise.all([1, 2, 3, 4, 5, 6].map((turns) => soon(log, `mark ${turns}`, turns)));
    log(await Promise.resolve(1).finally(() => soon(log, "cleaned", 1)));
    try {
      await Promise.reject(new Error("first")).finally(() => log("cleaned again"));
    } catch (error) {
      log((error as Error).message);
    }
    try {
      await Promise.resolve(1).finally(() => {
        throw new Error("second");
      });
    } catch (error) {
      log((error as Error).message);
    } finally {
      log("over");
    }
    await marks;
  },

  async "errors go where they go, through awaits and finally blocks"(log) {
    const failing = async (turns: number) => {
      try {
        await soon(log, `failing ${turns}`, turns);
        throw new Error(`failed ${turns}`);
      } finally {
        await soon(log, `cleaned ${turns}`, 1);
      }
    };
    const results = await Promise.allSettled([failing(1), failing(0)]);
    log(results.map((result) => (result.status === "rejected" ? (result.reason as Error).message : "")));
    await failing(2).catch((error: Error) => log(error.message));
  },

  async "methods, private ones, accessors and fields keep their object"(log) {
    const counter = new Counter(log);
    const more = counter.later(10);
    log(await counter.addAll([3, 1, 2]));
    log(await more);
    log(counter.sum);
  },

  async "what a function within a function captures is what it is when it is used"(log) {
    let changing = 1;
    const fixed = 10;
    const read = async (given = fixed) => {
      const before = changing;
      await undefined;
      return [before, changing, given];
    };
    const answers = [read(), read(5)];
    changing = 2;
    log(await Promise.all(answers));
    const works: (() => Promise<number>)[] = [];
    for (const one of [1, 2, 3]) works.push(async () => one * (await fixed));
    log(await Promise.all(works.map((work) => work())));
    for (let at = 0; at < 2; at++) works[at] = async () => (await undefined, at);
    log(await Promise.all(works.map((work) => work())));
  },

  async "functions that call themselves, and each other"(log) {
    const factorial = async (of: number): Promise<number> => (of <= 1 ? 1 : of * (await factorial(of - 1)));
    async function isEven(of: number): Promise<boolean> {
      return of === 0 || (await isOdd(of - 1));
    }
    async function isOdd(of: number): Promise<boolean> {
      return of !== 0 && (await isEven(of - 1));
    }
    log(await factorial(5));
    log([await isEven(4), await isOdd(4)]);
  },

  async "parameters that are taken apart, defaults and the rest"(log) {
    const take = async (
      { a, b = 2 }: { a: number; b?: number },
      [c]: readonly number[],
      ...rest: readonly string[]
    ) => {
      await undefined;
      return [a, b, c, ...rest];
    };
    log(await take({ a: 1 }, [3]));
    log(await take({ a: 1, b: 5 }, [3], "x", "y"));
  },

  async "lists whose callbacks wait"(log) {
    log(await Promise.all(Array.from({ length: 3 }, (_, at) => soon(log, `lane ${at}`, 3 - at))));
    const found: string[] = [];
    for (const name of await Promise.all(["a", "b"].map(async (letter) => soon(log, letter, 1)))) found.push(name);
    log(found.join());
  },

  async "listeners of an aborted signal, in order, but for those taken away"(log) {
    const controller = new AbortController();
    const { signal } = controller;
    const last = () => log("last");
    signal.addEventListener("abort", () => {
      log("first");
      signal.removeEventListener("abort", last);
    });
    signal.addEventListener("abort", () => log("second"));
    signal.addEventListener("abort", last);
    const work = (async () => {
      await undefined;
      signal.throwIfAborted();
    })();
    controller.abort(new Error("stop"));
    log(signal.aborted);
    await work.catch((error: Error) => log(error.message));
  },

  async "promises that others settle"(log) {
    let settle: ((value: string) => void) | undefined;
    const given = new Promise<string>((resolve, reject) => {
      settle = resolve;
      void soon(log, "too late", 4).then(() => reject(new Error("never seen")));
    });
    void soon(log, "settles", 2).then((name) => settle?.(name));
    log(await given);
    const thrown = new Promise(() => {
      throw new Error("in the executor");
    });
    await thrown.catch((error: Error) => log(error.message));
  },
};

/** What the explorer refuses: it is not run. */
export async function loop(log: Log): Promise<void> {
  for await (const letter of letters(log)) log(letter);
}
