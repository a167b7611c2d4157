/**
 * The only place that takes random numbers, so that tests and the explorer can stand in for it.
 */
import { randomInt } from "node:crypto";

/** A number from 1 to 2^31 - 1 that another call will hardly give again: to tell things apart. */
export function newNumber(): number {
  return randomInt(1, 2 ** 31);
}
