/**
 * The system's C library, through koffi: for the few calls that Node does not offer. The only file that knows koffi.
 *
 * koffi is loaded at the first call, and not while a thread is being terminated (load-guard.ts): a thread that only reads, and writes what
 * has its place on the disk already, never loads it.
 *
 * Where it cannot load, or with PINFOLD_NO_KOFFI=1 in the environment, `loadCLibrary()` gives null, and what needs it takes another way.
 * That is for good: so what fails while descriptors have run out is an error instead, and tried again the next time (F34).
 */
import { closeSync, openSync } from "node:fs";
import { createRequire } from "node:module";
import { toPinfoldError } from "./errors.js";
import { whileNobodyEnds } from "./load-guard.js";

/** A C function. `async` runs it on a thread of koffi's pool. */
export type ForeignCall = ((...values: unknown[]) => unknown) & {
  async(...valuesAndCallback: unknown[]): void;
};

export interface CLibrary {
  /** Functions by their declarations in C. */
  bind<Name extends string>(declarations: Readonly<Record<Name, string>>): Record<Name, ForeignCall>;
  /** Of the last call of this thread. */
  errno(): number;
}

interface Library {
  func(declaration: string): ForeignCall;
}

interface Koffi {
  load(name: string): Library;
  errno(): number;
}

const muslNames: Partial<Record<NodeJS.Architecture, string>> = { x64: "x86_64", arm64: "aarch64", riscv64: "riscv64" };
const require = createRequire(import.meta.url);
let loaded: CLibrary | null | undefined;

/** Whether `loadCLibrary` can be expected to work, without trying. @throws PinfoldError EMFILE */
export function hasCLibrary(): boolean {
  if (process.env["PINFOLD_NO_KOFFI"] === "1" || process.platform !== "linux") return false;
  if (loaded !== undefined) return loaded !== null;
  try {
    require.resolve("koffi");
    return true;
  } catch {
    checkDescriptors();
    return false;
  }
}

/** The C library, or null where it cannot be called. @throws PinfoldError EMFILE */
export function loadCLibrary(): CLibrary | null {
  if (!hasCLibrary()) return null;
  if (loaded === undefined) loaded = whileNobodyEnds(tryLoad);
  return loaded;
}

function tryLoad(): CLibrary | null {
  try {
    const koffi = require("koffi") as Koffi;
    for (const name of ["libc.so.6", `libc.musl-${muslNames[process.arch]}.so.1`]) {
      try {
        return libraryOf(koffi, koffi.load(name));
      } catch {
        // The other C library, then.
      }
    }
  } catch {
    // No binary for this machine, or addons are forbidden.
  }
  checkDescriptors();
  return null;
}

/** Node says "there is no such module" too where it could not open the files that it looked at. @throws PinfoldError EMFILE */
function checkDescriptors(): void {
  try {
    closeSync(openSync("/dev/null", "r"));
  } catch (error) {
    throw toPinfoldError(error, "loading koffi");
  }
}

function libraryOf(koffi: Koffi, library: Library): CLibrary {
  return {
    bind<Name extends string>(declarations: Readonly<Record<Name, string>>) {
      const all = Object.entries<string>(declarations);
      return whileNobodyEnds(
        () => Object.fromEntries(all.map(([name, text]) => [name, library.func(text)])) as Record<Name, ForeignCall>,
      );
    },
    errno: () => koffi.errno(),
  };
}
