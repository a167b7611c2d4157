/** The shared bound on bytes: reserves, turns, and who is asked when others wait. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ByteBudget } from "../../src/nbd/byte-budget.js";
import { ManualClock, seededRandom } from "./fixture.js";

function smallBudget(clock = new ManualClock()): ByteBudget {
  return new ByteBudget({ sharedBytes: 100, reserveBytes: 10, accountBytesMax: 60, stallMs: 1000, clock });
}

test("a reserve is there even when all shared bytes are taken", () => {
  const budget = smallBudget();
  const [a, b] = [budget.open(() => {}), budget.open(() => {})];
  assert.ok(a.tryTake(110));
  assert.equal(budget.sharedFree, 0);
  assert.ok(b.tryTake(10));
  assert.ok(!b.tryTake(1));
  budget.verify();
});

test("an account holds no more than its share, except one larger piece alone", () => {
  const budget = smallBudget();
  const a = budget.open(() => {});
  assert.ok(a.tryTake(40));
  assert.ok(!a.tryTake(40));
  a.give(40);
  assert.ok(a.tryTake(90));
  assert.ok(!a.tryTake(1));
  budget.verify();
});

test("waits are served in turn, and a large wish is not overtaken by small ones for ever", () => {
  const budget = smallBudget();
  const [a, b, c] = [budget.open(() => {}), budget.open(() => {}), budget.open(() => {})];
  const served: string[] = [];
  assert.ok(a.tryTake(60));
  assert.ok(!b.tryTake(90));
  b.wait(90, () => served.push("b"));
  assert.ok(!c.tryTake(20), "shared bytes are free, but b was first");
  c.wait(20, () => served.push("c"));
  assert.ok(budget.contended);
  a.give(60);
  assert.deepEqual(served, ["b", "c"]);
  budget.verify();
});

test("an account that waits for its own share does not hold up the others", () => {
  const budget = smallBudget();
  const [a, b] = [budget.open(() => {}), budget.open(() => {})];
  assert.ok(a.tryTake(50));
  a.wait(20, () => {});
  assert.ok(!budget.contended);
  assert.ok(b.tryTake(50));
  budget.verify();
});

test("cancelled waits are told, and let the next one through", () => {
  const budget = smallBudget();
  const [a, b, c] = [budget.open(() => {}), budget.open(() => {}), budget.open(() => {})];
  const told: string[] = [];
  assert.ok(a.tryTake(60));
  b.wait(90, (held) => told.push(`b ${held}`));
  c.wait(20, (held) => told.push(`c ${held}`));
  b.cancelWaits();
  assert.deepEqual(told, ["b false", "c true"]);
  b.close();
  budget.verify();
});

test("while somebody waits for shared bytes, all are asked, again and again", () => {
  const clock = new ManualClock();
  const budget = smallBudget(clock);
  let asked = 0;
  const a = budget.open(() => asked++);
  const b = budget.open(() => {});
  assert.ok(a.tryTake(110));
  clock.advance(5000);
  assert.equal(asked, 0, "nobody waits");
  b.wait(20, () => {});
  clock.advance(1000);
  clock.advance(1000);
  assert.equal(asked, 2);
  a.give(110);
  assert.equal(clock.pending, 0);
});

test("random takes, waits, gives and ends keep the accounts right and serve everybody", () => {
  const random = seededRandom(11);
  const budget = smallBudget();
  const accounts = Array.from({ length: 8 }, () => budget.open(() => {}));
  const held = accounts.map(() => [] as number[]);
  let waiting = 0;
  for (let step = 0; step < 20_000; step++) {
    const i = random(accounts.length);
    const [account, mine] = [accounts[i], held[i]];
    if (account === undefined || mine === undefined) continue;
    const bytes = 1 + random(random(10) === 0 ? 100 : 30);
    if (random(2) === 0 && account.waits < 4) {
      if (account.tryTake(bytes)) mine.push(bytes);
      else {
        waiting++;
        account.wait(bytes, (given) => {
          waiting--;
          if (given) mine.push(bytes);
        });
      }
    } else {
      account.give(mine.pop() ?? 0);
    }
    budget.verify();
  }
  for (let round = 0; round < 1000; round++) {
    accounts.forEach((account, i) => account.give(held[i]?.pop() ?? 0));
  }
  assert.equal(waiting, 0, "everybody who waits is served once the others give back");
  budget.verify();
});
