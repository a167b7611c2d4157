/**
 * An abort that comes just as the work that it would end has succeeded: what was taken is given back, whoever is first.
 * The abort is tried at each of many microtasks after the store's answer, since the window is some of them wide.
 */
import { strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { codeOf, open, page, turns } from "./fixture.js";

const microtasksTried = 40;

for (const write of [false, true]) {
  const name = `an abort at any moment after the store's answer leaves no lock behind: ${write ? "write" : "read"} pins`;
  test(name, { timeout: 20_000 }, async (t) => {
    const { file, store, cache } = await open(t, { cache: { memory: 128 * page } });
    let aborted = 0;
    for (let microtasks = 0; microtasks < microtasksTried; microtasks++) {
      const held = store.hold("readPages");
      const abort = new AbortController();
      const pin = file.getUserPages(microtasks * 2 * page, 2 * page, { write, signal: abort.signal });
      const outcome = pin.then((pages) => pages.put());
      const code = codeOf(outcome);
      await held.entered;
      held.release();
      for (let i = 0; i < microtasks; i++) await Promise.resolve();
      abort.abort();
      if ((await code) !== undefined) aborted += 1;
      await turns();
      cache.verify({ quiesce: true });
    }
    strictEqual(aborted > 0 && aborted < microtasksTried, true, `${aborted} of ${microtasksTried} were aborted`);
  });
}
