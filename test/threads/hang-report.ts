/**
 * What everybody waits for, from the words alone: for a test that hangs, also from a thread that is not the one that hangs.
 */
import { readFileSync, readdirSync } from "node:fs";
import * as layout from "../../src/sync/layout.js";

export function hangReport(memory: WebAssembly.Memory): string {
  const words = new Int32Array(memory.buffer);
  const at = (address: number) => Atomics.load(words, address >> 2);
  return [...threadsOf(), ...slotsOf(at), ...waitsOf(at), `loading: ${at(layout.HEADER_LOADING)}`].join("\n");
}

type At = (address: number) => number;

function read(path: string): string {
  try {
    return readFileSync(path, "latin1").trim();
  } catch {
    return "gone";
  }
}

/** Each thread of the process, by the system's account: in which system call it is, and where in the kernel it sleeps. */
function threadsOf(): string[] {
  return readdirSync("/proc/self/task").map((id) => {
    const task = `/proc/self/task/${id}`;
    const [state] = /^State:.*$/m.exec(read(`${task}/status`)) ?? [""];
    return `thread ${id} ${read(`${task}/comm`)}, ${state}, in ${read(`${task}/wchan`)}, call ${read(`${task}/syscall`)}`;
  });
}

const slotFields = {
  state: layout.THREAD_STATE,
  id: layout.THREAD_ID,
  blocked: layout.THREAD_BLOCKED,
  closing: layout.THREAD_CLOSING,
  storeCalls: layout.THREAD_STORE_CALLS,
  recoverer: layout.THREAD_RECOVERER,
  doorbell: layout.THREAD_DOORBELL,
};

const nodeFields = {
  state: layout.NODE_STATE,
  record: layout.NODE_FRAME,
  thread: layout.NODE_THREAD,
  mode: layout.NODE_MODE,
  scope: layout.NODE_SCOPE,
};

function fieldsAt(at: At, base: number, fields: Readonly<Record<string, number>>): string {
  return Object.entries(fields)
    .map(([name, offset]) => `${name} ${at(base + offset)}`)
    .join(", ");
}

function slotsOf(at: At): string[] {
  const lines: string[] = [];
  for (let slot = 0; slot < layout.THREADS_MAX; slot++) {
    const base = layout.THREADS + slot * layout.THREAD_BYTES;
    if (at(base + layout.THREAD_STATE) !== layout.THREAD_FREE)
      lines.push(`slot ${slot}: ${fieldsAt(at, base, slotFields)}`);
  }
  return lines;
}

function waitsOf(at: At): string[] {
  const lines: string[] = [];
  for (let node = 0; node < layout.NODES_MAX; node++) {
    const base = layout.NODES + node * layout.NODE_BYTES;
    if (at(base + layout.NODE_STATE) === layout.NODE_FREE) continue;
    const record = layout.RECORDS + at(base + layout.NODE_FRAME) * 2 ** layout.RECORD_SHIFT;
    const word = [at(record + 4), at(record)].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
    const page = `index ${at(record + layout.RECORD_INDEX)} of file ${at(record + layout.RECORD_MAPPING) & 0xffff}`;
    lines.push(`wait ${node}: ${fieldsAt(at, base, nodeFields)}; ${page}, word ${word}`);
  }
  return lines;
}
