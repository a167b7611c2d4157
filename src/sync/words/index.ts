/**
 * The module's exports: see README.md in this folder for the transition table.
 */
export { configure } from "./memory";
export {
  lockShared, tryPinShared, lockExclusive, unlockShared, unlockExclusive, takeOver, downgrade, upgrade, exclusiveToCounted,
  sharedToCounted, putCountedRead, putCountedWrite, setGate,
} from "./lock";
export {
  markDirty, markModified, cleanUnmodified, beginWriteback, beginSnapshot, endWriteback, flipEpoch, stabilizeNext, redirtyNext, nextDirty, nextWriteback,
  tagTowrite,
} from "./dirty";
export {
  find, reserve, release, insert, setUptodate, condemn, freeze, thaw, remove, takeSnapshot, giveSnapshot, nextResident,
} from "./table";
export { queueHead, moveTo, setAside, requeue, setHomeMain, ghostRemember, ghostTake } from "./queues";
export { enqueue, withdraw, dismiss, answer, firstWaiter, nextWaiter, grant, accept, clearWaiters } from "./waiters";
export {
  lowWord, highWord, linkWord, versionOf, indexOf, mappingIdOf, dirtiedAt, blockWord, ledgerEntry, sizeOf, setSize, takeCredits,
  giveCredits, markOwnerDied, clearOwnerDied,
} from "./state";
export { viewOf, openView, revokeView, ageView, closeView, optimisticBegin } from "./views";
export {
  transferState, openTransfer, sendPage, sendCredits, adopt, transitOf, takePage, takeTransferCredits, endTransfer,
} from "./transfers";
