/**
 * One life of a cache in a simulation: it is opened over what the storage has, users in some threads do their tasks, and it ends: in
 * order, killed, or with the power.
 *
 * See also: voyage.ts, ../runtime/rig.ts.
 */
import type { Actor } from "../races/stage.js";
import { checkEnded, type Rig, startWork } from "../runtime/rig.js";
import { diskBit, failBit } from "../runtime/scheduler.js";
import type { VirtualThread } from "../runtime/thread.js";
import type { SeededRandom } from "../../src/base/seeded.js";
import { type Turns, Violation } from "../search/subject.js";
import type { CutMedium } from "./cut-medium.js";
import type { Oracle } from "./oracle.js";
import type { Crew } from "./script.js";

type Hand = typeof import("./hand.js");

/** True: all tasks have ended, and the file is at rest. False: the turns have stopped it, or nobody is left. @throws Violation */
export function live(rig: Rig, oracle: Oracle, crew: Crew, isDeadly: boolean, turns: Turns): boolean {
  rig.enter();
  const hand = rig.loaded.modules.load("explore/simulation/hand.js") as unknown as Hand;
  const stage = rig.setStage();
  const names = crew.map((_, at) => String.fromCharCode(65 + at));
  const { threads, actors } = rig.join(stage, names);
  const works = threads.map((thread, at) => {
    thread.isMortal = isDeadly;
    return startWork(thread, () => hand.work(actors[at] as Actor, crew[at] ?? [], oracle));
  });
  if (!rig.machine.run(turns) || threads.every(({ isDead }) => isDead)) return false;
  threads.forEach((thread, at) => {
    if (!thread.isDead) checkEnded(thread, works[at] ?? {});
  });
  rest(rig, oracle, threads, actors);
  return true;
}

/** All have ended. What is dirty is written, and looked at. @throws Violation */
function rest(rig: Rig, oracle: Oracle, threads: readonly VirtualThread[], actors: readonly Actor[]): void {
  const alive = threads.findIndex(({ isDead }) => !isDead);
  const thread = threads[alive] as VirtualThread;
  const actor = actors[alive] as Actor;
  const { medium } = rig.disk;
  // Where somebody ended last of all, nobody has noticed it yet.
  if (threads.some(({ isDead }) => isDead)) rig.quietly(thread, () => actor.lookForDead());
  rig.quietly(thread, () => actor.sync());
  rig.quietly(thread, () => actor.verify());
  // Whose thread has ended while the storage was asked for leave never heard of it: that space is the file's until it is cut.
  if (medium.reservedBlocks > 0 && !threads.some(({ isDead }) => isDead))
    throw new Violation("leak", `${medium.reservedBlocks} blocks are reserved, and nothing is dirty`);
  oracle.atRest(actor.space.size, (at) => medium.bytes[at] ?? 0, "after the last sync");
  oracle.atRest(medium.size, (at) => medium.durable[at] ?? 0, "durably after the last sync");
}

/** Requests that were under way when all ended: some have been done, in any order. @throws Violation */
function endRequests(rig: Rig, random: SeededRandom): void {
  const { machine } = rig;
  const mayBeDone = () => machine.outside.filter(({ alternative }) => alternative >= diskBit && alternative < failBit);
  for (let left = mayBeDone(); left.length > 0; left = mayBeDone()) {
    const request = left[random.below(left.length)];
    machine.outside = machine.outside.filter((one) => one !== request);
    if (random.below(2) === 0) request?.happen();
  }
}

/** Ends a life that was stopped. @throws Violation where the storage is left with what it must not have */
export function crash(rig: Rig, oracle: Oracle, medium: CutMedium, isPowerCut: boolean, random: SeededRandom): void {
  endRequests(rig, random);
  if (isPowerCut) medium.powerCut(random);
  else medium.processEnds();
  oracle.crashed(medium.size, (at) => medium.bytes[at] ?? 0, isPowerCut);
}
