/**
 * Checks a file against its checksums, and changes nothing: what is wrong, and where.
 */
import { limits } from "../../base/limits.js";
import type { Store } from "../../store/contract.js";
import { pageSums } from "./format.js";
import { openSums } from "./open.js";
import { readStep } from "./store-steps.js";
import { runLater, type Steps } from "./steps.js";
import { sumsOf, zeroSum } from "./sum.js";
import type { Judgement, Sums } from "./sums.js";

/** What is wrong with bytes [from, to). */
export interface Finding {
  readonly from: number;
  readonly to: number;
  /**
   * "changed": not what was written; "lost": zeros, where something was written; "torn": was being written when a process or the
   * power ended, and is neither as before nor as after; "unread": the storage cannot read it; "unknown": the checksum is damaged.
   */
  readonly what: "changed" | "lost" | "torn" | "unread" | "unknown";
  /** What the storage said, where it cannot be read. */
  readonly error?: string;
}

export interface Verification {
  readonly bytes: number;
  /** Blocks that were being written when a process or the power ended, and are well. */
  readonly inDoubt: number;
  /** Bytes in findings, those that are not listed included. */
  readonly wrongBytes: number;
  /** At most limits.checksumFindingsMax, neighbours of one kind in one. */
  readonly findings: readonly Finding[];
  readonly isComplete: boolean;
}

export interface VerifyOptions {
  /** Called with the bytes that were looked at, now and then. */
  readonly progress?: (bytes: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Both stores are open to read. @throws PinfoldError ERR_PINFOLD_CHECKSUM where there are no checksums; the signal's reason */
export async function verifySums(data: Store, store: Store, options: VerifyOptions = {}): Promise<Verification> {
  const sums = await runLater(openSums(data, store));
  const found = new Findings();
  const stepBytes = pageSums * limits.blockSize;
  for (let position = 0; position < data.sizeBytes; position += stepBytes) {
    options.signal?.throwIfAborted();
    const bytes = Math.min(stepBytes, data.sizeBytes - position);
    await runLater(verifyPiece(data, sums, position, bytes, found));
    options.progress?.(position + bytes);
  }
  await runLater(verifyEnd(data, sums, found));
  return {
    bytes: data.sizeBytes,
    inDoubt: found.inDoubt,
    wrongBytes: found.wrongBytes,
    findings: found.list,
    isComplete: found.isComplete,
  };
}

function* verifyPiece(data: Store, sums: Sums, position: number, length: number, found: Findings): Steps<void> {
  const buffer = new Uint8Array(Math.ceil(length / limits.blockSize) * limits.blockSize);
  const first = position / limits.blockSize;
  const failed = yield* tryRead(data, position, buffer);
  if (failed !== undefined && buffer.length > limits.blockSize) {
    for (let at = 0; at < length; at += limits.blockSize)
      yield* verifyPiece(data, sums, position + at, Math.min(limits.blockSize, length - at), found);
    return;
  }
  if (failed !== undefined) {
    found.add({ from: position, to: position + length, what: "unread", error: failed });
    return;
  }
  const before = sumsOf([buffer], first, sums.fileNumber);
  yield* sums.judgeAll(first, before, (block, sum, judgement) => {
    const allowed = sums.doubts.allowed(block);
    const isOpen = allowed !== undefined && (allowed.sums.length > 1 || allowed.base);
    if (judgement.is === "right") {
      if (isOpen) found.inDoubt += 1;
      return;
    }
    const from = block * limits.blockSize;
    const to = Math.min(from + limits.blockSize, data.sizeBytes);
    found.add({ from, to, what: kindOf(judgement, isOpen, sum === zeroSum(block, sums.fileNumber)) });
  });
}

function* tryRead(data: Store, position: number, buffer: Uint8Array): Steps<string | undefined> {
  try {
    yield readStep(data, position, [buffer]);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function kindOf(judgement: Judgement, isOpen: boolean, isZero: boolean): Finding["what"] {
  if (judgement.is === "unknown") return "unknown";
  if (isOpen) return "torn";
  return isZero ? "lost" : "changed";
}

/** What has a checksum beyond the end was cut off by somebody else. */
function* verifyEnd(data: Store, sums: Sums, found: Findings): Steps<void> {
  const end = Math.ceil(data.sizeBytes / limits.blockSize);
  for (let number = Math.floor(end / pageSums); number < sums.table.pages; number++) {
    const first = Math.max(end, number * pageSums);
    const count = (number + 1) * pageSums - first;
    const zeros = Array.from({ length: count }, (_, i) => zeroSum(first + i, sums.fileNumber));
    if ((yield* sums.table.page(number)).isEmpty && sums.doubts.isEmpty) continue;
    yield* sums.judgeAll(first, zeros, (block, _sum, judgement) => {
      if (judgement.is !== "wrong") return;
      const from = block * limits.blockSize;
      found.add({ from, to: from + limits.blockSize, what: "lost" });
    });
  }
}

class Findings {
  readonly list: Finding[] = [];
  wrongBytes = 0;
  inDoubt = 0;
  isComplete = true;

  add(finding: Finding): void {
    this.wrongBytes += finding.to - finding.from;
    const last = this.list.at(-1);
    if (last && last.to === finding.from && last.what === finding.what && last.error === finding.error)
      this.list[this.list.length - 1] = { ...last, to: finding.to };
    else if (this.list.length < limits.checksumFindingsMax) this.list.push(finding);
    else this.isComplete = false;
  }
}
