/** Values that wait for whoever iterates over them, in order. */
export class Buffer<T> {
  private readonly values: T[] = [];
  private readonly takers: ((result: IteratorResult<T, undefined>) => void)[] = [];
  private ended = false;

  /** How many wait. */
  get size(): number {
    return this.values.length;
  }

  push(value: T): void {
    if (this.ended) return;
    const taker = this.takers.shift();
    if (taker) taker({ value, done: false });
    else this.values.push(value);
  }

  /** Nothing more comes. What is there can still be taken. */
  end(): void {
    this.ended = true;
    for (const taker of this.takers.splice(0)) taker({ value: undefined, done: true });
  }

  take(): Promise<IteratorResult<T, undefined>> {
    const value = this.values.shift();
    if (value !== undefined) return Promise.resolve({ value, done: false });
    if (this.ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise(resolve => this.takers.push(resolve));
  }
}
