/**
 * pinfold/nbd: what others may use of this folder.
 *
 * See also: README.md; file-device.ts (a cached file as a device).
 */
export { isLoopbackAddress, type NbdAddress, nbdUri, parseNbdAddress } from "./address.js";
export { type NbdClock, systemNbdClock } from "./clock.js";
export type { NbdDevice } from "./device.js";
export { FileDevice } from "./file-device.js";
export type { NbdExports } from "./options.js";
export { type NbdCloseOptions, NbdServer, type NbdServerOptions } from "./server.js";
export { type NbdTlsOptions, parsePskKeys } from "./tls-options.js";
export type { NbdStats } from "./statistics.js";
