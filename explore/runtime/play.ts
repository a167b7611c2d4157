/** A function that can be stopped: yields `undefined` where another thread is to run, the machine's mark where it awaits. */
export type Play<Answer> = Generator<unknown, Answer, unknown>;
