/**
 * Numbers below 2^32 in a row. (An array whose length is set to 0 gives its memory back, and asks for it again: tens of times in a run.)
 */
export class NumberStack {
  count = 0;
  #numbers = new Uint32Array(64);

  push(number: number): void {
    if (this.count === this.#numbers.length) {
      const more = new Uint32Array(this.count * 2);
      more.set(this.#numbers);
      this.#numbers = more;
    }
    this.#numbers[this.count++] = number;
  }

  at(index: number): number {
    return this.#numbers[index] as number;
  }

  clear(): void {
    this.count = 0;
  }
}
