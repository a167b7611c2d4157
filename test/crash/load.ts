/** Random writes, zeros, FUA writes and flushes of several clients at once, written down in a ledger. */
import type { NbdClient } from "../nbd/client.js";
import { type Ledger } from "./ledger.js";

const depth = 8;

/** Runs until the clients' connections end or `stop` says so. Requests that an ended connection left unanswered stay unacknowledged. */
export async function loadUntilEnd(
  clients: readonly NbdClient[],
  ledger: Ledger,
  random: (below: number) => number,
  stop: () => boolean = () => false,
): Promise<void> {
  const lane = async (client: NbdClient): Promise<void> => {
    while (!client.over && !stop()) {
      try {
        await step(client, ledger, random);
      } catch (error) {
        // The end of the server: a closed connection, or ESHUTDOWN.
        if (client.over || (error as { number?: number }).number === 108 || /connection ended/.test(String(error)))
          return;
        throw error;
      }
    }
  };
  await Promise.all(clients.flatMap((client) => Array.from({ length: depth }, () => lane(client))));
}

function step(client: NbdClient, ledger: Ledger, random: (below: number) => number): Promise<void> {
  if (random(60) === 0) return ledger.flush(client);
  const count = 1 + random(random(4) === 0 ? 40 : 4);
  const block = random(ledger.blocks);
  if (!ledger.isFree(block, count)) return new Promise((resolve) => setImmediate(resolve));
  const kind = random(20);
  return ledger.write(client, block, count, kind === 0 ? "fua" : kind <= 2 ? "zeros" : "data");
}
