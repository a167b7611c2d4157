/**
 * The `reference` pin protocol: get takes a bare reference, put drops it. It is what `put_user_pages` was to begin with in 2009
 * (defined as put_page), and nothing that ships uses it: it shows which races are open without the other two protocols.
 *
 * A write pin is granted and dirty when it is handed out, as always; but nothing keeps write-back from cleaning the page while
 * its holder goes on writing (race R4). The reference itself keeps the frame from being used for another page.
 *
 * See also: src/mapping/protocols.ts.
 */
import { type PinProtocol, type PinProtocols, pinProtocols } from "../src/mapping/protocols.js";

const reference: PinProtocol = {
  name: "reference",
  take(core, frame, write) {
    if (write) core.locks.downgrade(frame, true);
    return core.locks.sharedToCounted(frame);
  },
  put: (core, page) => core.locks.putCountedRead(page.frame),
};

/**
 * For `core.protocols`: long-term pins under the reference protocol. One that fails before it has its reference holds the page locked, and
 * is undone as a locked one.
 */
export const referenceProtocols: PinProtocols = { locked: pinProtocols.locked, counted: reference };
