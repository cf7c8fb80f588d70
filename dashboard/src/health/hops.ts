/** The times of a reading on its way, epoch ms: by the device's clock, the bridge's, Redis's, the node's. */
export interface Stamps {
  readonly ts: number;
  readonly received?: number;
  readonly stored?: number;
  readonly read?: number;
  /** `arrival` when the device sent no time: `ts` is then the bridge's. */
  readonly clock?: string;
  readonly historical?: boolean;
}

/** Milliseconds from one place to the next; undefined where no reading told. */
export interface Hops {
  readonly bridge: number | undefined;
  readonly redis: number | undefined;
  readonly node: number | undefined;
  readonly here: number | undefined;
}

const KEPT_MS = 60_000;

/** How long readings take from place to place: medians over the last minute of some that were looked at. */
export class Sample {
  #taken: { at: number; hops: Hops }[] = [];

  /** How many readings the medians are of. */
  get size(): number {
    return this.#taken.length;
  }

  /** A reading has come. `arrival`: now, by the node's clock. One that was sent late says nothing of the way. */
  add(stamps: Stamps, arrival: number): void {
    if (stamps.historical) return;
    const { ts, received, stored, read } = stamps;
    const bridge = stamps.clock === "arrival" ? undefined : between(ts, received);
    const hops = {
      bridge,
      redis: between(received, stored),
      node: between(stored, read),
      here: between(read, arrival),
    };
    this.#taken.push({ at: arrival, hops });
    this.forget(arrival);
  }

  /** Let go of what is more than a minute old. */
  forget(now: number): void {
    this.#taken = this.#taken.filter(({ at }) => at > now - KEPT_MS);
  }

  medians(): Hops {
    const of = (name: keyof Hops) => median(this.#taken.flatMap(({ hops }) => hops[name] ?? []));
    return { bridge: of("bridge"), redis: of("redis"), node: of("node"), here: of("here") };
  }
}

/** A hop as text. Clocks of two machines never agree wholly: what ends before it began took about no time. */
export function hopText(ms: number | undefined): string {
  if (ms === undefined) return "–";
  if (ms < 0.5) return "~0 ms";
  if (ms < 9_999.5) return `${Math.round(ms)} ms`;
  return ms < 99_500 ? `${Math.round(ms / 1_000)} s` : `${Math.round(ms / 60_000)} min`;
}

function between(from: number | undefined, to: number | undefined): number | undefined {
  return from === undefined || to === undefined ? undefined : to - from;
}

function median(numbers: number[]): number | undefined {
  const sorted = numbers.sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half];
  return sorted.length % 2 || upper === undefined ? upper : (upper + (sorted[half - 1] as number)) / 2;
}
