/**
 * Messages between the threads of a process by name, wherever they were started from. Order from one sender to one receiver is
 * kept; a message to a name that nobody has is lost, as is one to a thread that ends.
 */
import { BroadcastChannel } from "node:worker_threads";

export class Mailbox {
  readonly #channel: BroadcastChannel;

  /** `receive` undefined: for sending only. Keeps no process alive. */
  constructor(name: string, receive?: (message: unknown) => void) {
    this.#channel = new BroadcastChannel(name);
    this.#channel.unref();
    if (receive) this.#channel.addEventListener("message", (event) => receive((event as { data?: unknown }).data));
  }

  send(message: unknown): void {
    this.#channel.postMessage(message);
  }

  close(): void {
    this.#channel.close();
  }
}
