/** The oracle: what it allows, and that it sees what it does not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Oracle } from "../../explore/simulation/oracle.js";
import type { Task } from "../../explore/simulation/task.js";

const pageBytes = 16;
const write = (position: number, length: number, value: number): Task => ({ kind: "write", position, length, value });
const syncAll: Task = { kind: "sync", position: 0, length: 0 };
const read: Task = { kind: "read", position: 0, length: 16 };

function done(oracle: Oracle, task: Task): void {
  oracle.ended(oracle.begins(task), "length" in task ? task.length : 0);
}

/** A file of these bytes. */
function fileOf(bytes: readonly number[]): [number, (position: number) => number] {
  return [bytes.length, (position) => bytes[position] ?? 0];
}

test("a crash may leave what was written before or after, until a sync has covered it", () => {
  for (const isSynced of [false, true]) {
    const oracle = new Oracle(pageBytes);
    done(oracle, write(0, 2, 1));
    done(oracle, syncAll);
    done(oracle, write(0, 2, 2));
    if (isSynced) done(oracle, syncAll);
    const torn = () => oracle.crashed(...fileOf([2, 1]), true);
    if (isSynced) assert.throws(torn, /after a power cut: byte 1 is 1, and may be 2/);
    else torn();
  }
});

test("a size that a sync has covered is left by a crash", () => {
  const oracle = new Oracle(pageBytes);
  done(oracle, write(0, 4, 1));
  done(oracle, syncAll);
  assert.throws(() => oracle.crashed(...fileOf([]), true), /0 bytes, and there may be 4/);
});

test("a sync covers what had ended when it began, and no more", () => {
  const oracle = new Oracle(pageBytes);
  done(oracle, write(0, 1, 1));
  done(oracle, syncAll);
  const late = oracle.begins(write(0, 1, 2));
  const sync = oracle.begins(syncAll);
  oracle.ended(late, 1);
  oracle.ended(sync, 0);
  oracle.crashed(...fileOf([1]), true);
});

test("a sync of a range covers its bytes alone", () => {
  const oracle = new Oracle(pageBytes);
  done(oracle, write(0, 2, 1));
  done(oracle, syncAll);
  done(oracle, write(0, 2, 2));
  done(oracle, { kind: "sync", position: 0, length: 1 });
  assert.throws(() => oracle.crashed(...fileOf([1, 2]), true), /byte 0 is 1/);
  oracle.crashed(...fileOf([2, 1]), true);
});

test("a read finds neither what is past nor what was never written", () => {
  const oracle = new Oracle(pageBytes);
  done(oracle, write(0, 1, 1));
  done(oracle, write(0, 1, 2));
  const reading = oracle.begins(read);
  assert.throws(() => oracle.saw(reading, 0, 1), /read: byte 0 is 1, and may be 2/);
  assert.throws(() => oracle.saw(reading, 0, 9), /byte 0 is 9/);
  oracle.saw(reading, 0, 2);
});

test("a task that failed has changed nothing, apart from a cut", () => {
  const oracle = new Oracle(pageBytes);
  oracle.troubles = { ...oracle.troubles, isScarce: true, requestsFail: true };
  done(oracle, write(0, 4, 1));
  oracle.failed(oracle.begins(write(0, 4, 2)), "ENOSPC", "");
  const reading = oracle.begins(read);
  assert.throws(() => oracle.saw(reading, 0, 2), /may be 1/);
  oracle.failed(oracle.begins({ kind: "punch", position: 0, length: 2 }), "EIO", "");
  const again = oracle.begins(read);
  oracle.saw(again, 0, 0);
  oracle.saw(again, 0, 1);
});

test("an error that nothing can have caused is a violation", () => {
  const task = write(0, 1, 1);
  for (const code of [
    "EIO",
    "ENOSPC",
    "EDEADLK",
    "EBUSY",
    "ABORT_ERR",
    "ERR_PINFOLD_PIN_LIMIT",
    "ERR_PINFOLD_VERIFY",
  ]) {
    const oracle = new Oracle(pageBytes);
    assert.throws(() => oracle.failed(oracle.begins(task), code, "so"), { kind: "check" }, code);
  }
  const oracle = new Oracle(pageBytes);
  done(oracle, write(0, 16, 1));
  const pin: Task = { kind: "pin to read", position: 0, length: 16, longterm: false, holdMs: 0 };
  assert.throws(() => oracle.failed(oracle.begins(pin), "ERR_PINFOLD_OUT_OF_RANGE", ""), { kind: "check" });
  oracle.failed(oracle.begins({ ...pin, length: 17 }), "ERR_PINFOLD_OUT_OF_RANGE", "");
});

test("a short write has written what it says, and made the file as long as that", () => {
  const oracle = new Oracle(pageBytes);
  const begun = oracle.begins(write(0, 32, 1));
  oracle.ended(begun, 16);
  oracle.atRest(16, () => 1, "now");
  assert.throws(() => oracle.atRest(15, () => 1, "now"), /15 bytes/);
});

test("what a killed process left may go when a sync of the storage fails, and not before", () => {
  const oracle = new Oracle(pageBytes);
  done(oracle, write(0, 1, 1));
  done(oracle, syncAll);
  done(oracle, write(0, 1, 2));
  oracle.crashed(...fileOf([2]), false);
  assert.throws(() => oracle.saw(oracle.begins(read), 0, 1), /may be 2/);
  oracle.storageLost();
  oracle.saw(oracle.begins(read), 0, 1);
});
