/**
 * A bound on bytes that many connections share: one budget for payloads in receipt, one for read replies.
 *
 * An account holds bytes; what it holds up to `reserveBytes` is its own, what is above comes out of the shared bytes.
 * So an account that holds little never waits for another. An account holds at most `accountBytesMax`, except that one
 * larger piece may stand alone (or no large request could ever be served).
 *
 * Invariants: sharedFree + the sum of the accounts' shared parts = sharedBytes, sharedFree never negative (verify).
 * Accounts that wait are served in turn; within an account the order is first come, first served. A wait that lasts ends:
 * while anybody waits, every `stallMs` all accounts are asked (onContended) whether they still move, and the connection
 * closes itself if not. Bounds: one account a connection, waits an account by its caller (requests in flight).
 *
 * See also: limits.ts (nbdReceive..., nbdReply..., nbdReserveBytes), connection.ts (onContended).
 */
import { assert } from "../base/assert.js";
import type { Clock, Timer } from "../base/clock.js";

export interface ByteBudgetOptions {
  readonly sharedBytes: number;
  readonly reserveBytes: number;
  readonly accountBytesMax: number;
  readonly stallMs: number;
  readonly clock: Clock;
}

interface Wait {
  readonly bytes: number;
  /** False: the wait was cancelled and nothing is held. Must not call into the budget at once. */
  readonly settle: (held: boolean) => void;
}

export class ByteBudget {
  readonly options: ByteBudgetOptions;
  sharedFree: number;
  readonly #accounts = new Set<ByteAccount>();
  /** Accounts with waits, in the order of their turns. */
  readonly #waiting = new Set<ByteAccount>();
  #timer: Timer | undefined;

  constructor(options: ByteBudgetOptions) {
    this.options = options;
    this.sharedFree = options.sharedBytes;
  }

  get heldBytes(): number {
    let sum = 0;
    for (const account of this.#accounts) sum += account.held;
    return sum;
  }

  open(onContended: () => void): ByteAccount {
    const account = new ByteAccount(this, onContended);
    this.#accounts.add(account);
    return account;
  }

  /** Somebody waits for shared bytes, so a new wish for some comes after. */
  get contended(): boolean {
    for (const account of this.#waiting) if (account.blockedByShared) return true;
    return false;
  }

  /** For ByteAccount. */
  enqueue(account: ByteAccount): void {
    this.#waiting.add(account);
    this.#timer ??= this.options.clock.after(this.options.stallMs, () => this.#ask());
  }

  /** For ByteAccount. */
  forget(account: ByteAccount, closed: boolean): void {
    this.#waiting.delete(account);
    if (closed) this.#accounts.delete(account);
    if (this.#waiting.size > 0 || this.#timer === undefined) return;
    this.#timer.cancel();
    this.#timer = undefined;
  }

  /** Serves who waits, as far as the bytes go. Each round grants one wait, so it ends. */
  serve(): void {
    for (let served = true; served; ) {
      served = false;
      for (const account of this.#waiting) {
        if (account.blockedByShared) break;
        if (!account.grantFirst()) continue;
        this.forget(account, false);
        if (account.waits > 0) this.enqueue(account);
        served = true;
        break;
      }
    }
  }

  verify(): void {
    let shared = 0;
    for (const account of this.#accounts) shared += Math.max(0, account.held - this.options.reserveBytes);
    assert(shared + this.sharedFree === this.options.sharedBytes, "shared bytes equal a recount");
    assert(this.sharedFree >= 0, "no more is given than there is");
  }

  #ask(): void {
    this.#timer = undefined;
    if (this.contended) for (const account of [...this.#accounts]) account.onContended();
    if (this.#waiting.size > 0) this.#timer ??= this.options.clock.after(this.options.stallMs, () => this.#ask());
  }
}

export class ByteAccount {
  held = 0;
  readonly onContended: () => void;
  readonly #budget: ByteBudget;
  readonly #waits: Wait[] = [];

  constructor(budget: ByteBudget, onContended: () => void) {
    this.#budget = budget;
    this.onContended = onContended;
  }

  get waits(): number {
    return this.#waits.length;
  }

  /** True and the bytes are held, or false and nothing changed. */
  tryTake(bytes: number): boolean {
    if (this.#waits.length > 0 || !this.#withinAccount(bytes)) return false;
    const shared = this.#sharedPart(bytes);
    if (shared > 0 && (shared > this.#budget.sharedFree || this.#budget.contended)) return false;
    this.#hold(bytes, shared);
    return true;
  }

  /** Waits for the bytes, after tryTake() said no; `settle(false)` if cancelWaits() comes first. */
  wait(bytes: number, settle: (held: boolean) => void): void {
    assert(this.waits > 0 || this.held > 0 || this.#sharedPart(bytes) > 0, "there is something to wait for");
    this.#waits.push({ bytes, settle });
    this.#budget.enqueue(this);
  }

  give(bytes: number): void {
    assert(bytes >= 0 && bytes <= this.held, "only what is held is given back");
    if (bytes === 0) return;
    const shared = Math.max(0, this.held - this.#budget.options.reserveBytes);
    this.held -= bytes;
    this.#budget.sharedFree += shared - Math.max(0, this.held - this.#budget.options.reserveBytes);
    this.#serveOwn();
    this.#budget.serve();
  }

  cancelWaits(): void {
    if (this.#waits.length === 0) return;
    for (const wait of this.#waits.splice(0)) wait.settle(false);
    this.#budget.forget(this, false);
    this.#budget.serve();
  }

  /** The account is no longer part of the budget. */
  close(): void {
    assert(this.held === 0, "everything was given back");
    this.cancelWaits();
    this.#budget.forget(this, true);
  }

  /** For ByteBudget: the first wait lacks only shared bytes, so later accounts must not overtake it. */
  get blockedByShared(): boolean {
    const first = this.#waits[0];
    if (first === undefined || !this.#withinAccount(first.bytes)) return false;
    return this.#sharedPart(first.bytes) > this.#budget.sharedFree;
  }

  /** For ByteBudget. */
  grantFirst(): boolean {
    const first = this.#waits[0];
    if (first === undefined || !this.#withinAccount(first.bytes)) return false;
    const shared = this.#sharedPart(first.bytes);
    if (shared > this.#budget.sharedFree) return false;
    this.#waits.shift();
    this.#hold(first.bytes, shared);
    first.settle(true);
    return true;
  }

  /** Waits that the account's own reserve can serve need no turn. */
  #serveOwn(): void {
    for (let first = this.#waits[0]; first !== undefined; first = this.#waits[0]) {
      if (!this.#withinAccount(first.bytes) || this.#sharedPart(first.bytes) > 0) return;
      this.#waits.shift();
      if (this.#waits.length === 0) this.#budget.forget(this, false);
      this.#hold(first.bytes, 0);
      first.settle(true);
    }
  }

  #withinAccount(bytes: number): boolean {
    return this.held === 0 || this.held + bytes <= this.#budget.options.accountBytesMax;
  }

  #sharedPart(bytes: number): number {
    const { reserveBytes } = this.#budget.options;
    return Math.max(0, this.held + bytes - reserveBytes) - Math.max(0, this.held - reserveBytes);
  }

  #hold(bytes: number, shared: number): void {
    this.held += bytes;
    this.#budget.sharedFree -= shared;
  }
}
