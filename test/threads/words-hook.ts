/**
 * Calls of the page words' module, seen before they are made: import this before anything opens a cache. For worker threads that stop
 * themselves at a chosen call.
 */
export type SeenCall = (name: string, given: readonly number[]) => void;

/** What is told of each call. */
export const hook: { seen: SeenCall } = { seen: () => {} };

type Exports = Record<string, (...given: number[]) => number>;

const Original = WebAssembly.Instance;

class SeenInstance {
  readonly exports: Exports;

  constructor(module: WebAssembly.Module, imports: object) {
    const { exports } = new Original(module, imports as never);
    this.exports = {};
    for (const [name, step] of Object.entries(exports as Exports)) {
      this.exports[name] = (...given) => {
        hook.seen(name, given);
        return step(...given);
      };
    }
  }
}

Object.defineProperty(WebAssembly, "Instance", { value: SeenInstance, writable: true, configurable: true });
