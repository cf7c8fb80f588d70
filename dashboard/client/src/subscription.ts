import { Buffer } from "./buffer.ts";
import type { FleetwireError } from "./errors.ts";
import { Progress } from "./progress.ts";
import type * as protocol from "./protocol.ts";
import type { Counts } from "./stats.ts";
import type { Ask, Change, Event } from "./types.ts";

const BUFFER_EVENTS = 1_000;

/** What a subscription has done for it. */
export interface Host {
  readonly totals: Counts;
  change(subscription: Subscription, change: Change): Promise<void>;
  leave(subscription: Subscription): Promise<void>;
  halt(subscription: Subscription): void;
  goOn(subscription: Subscription): void;
}

/** How a subscription without a listener is iterated over: `buffer` is the most events that wait, by default 1,000. */
export interface Iteration {
  buffer?: number;
}

/**
 * What was asked for and what comes of it, over all reconnects: told to a listener, or else iterated over.
 *
 * The overflow policy of iteration is `resume`: when as many events wait as may, nothing more is asked of the node
 * until all of them are taken, and then what came meanwhile, from the cursor of the last one on.
 */
export class Subscription implements AsyncIterable<Event> {
  /** For the client's own use. */
  readonly progress: Progress;
  private readonly host: Host;
  private readonly listener: ((event: Event) => void) | undefined;
  private readonly buffer = new Buffer<Event>();
  private readonly room: number;
  private overflowed = false;
  private over = false;

  constructor(ask: Ask, host: Host, listener?: (event: Event) => void, { buffer = BUFFER_EVENTS }: Iteration = {}) {
    this.progress = new Progress(ask, host.totals);
    this.host = host;
    this.listener = listener;
    this.room = buffer;
  }

  /** What it asks for now. */
  get ask(): Ask {
    return this.progress.ask;
  }

  /** Everything up to here has been told: as `since` of another subscription it means the rest. */
  get cursor(): string | undefined {
    return this.progress.cursor;
  }

  get stats(): Readonly<Counts> {
    return this.progress.counts;
  }

  /** Ask for something else; null takes a field away. Rejects with what the node says against it; then all stays. */
  update(change: Change): Promise<void> {
    return this.host.change(this, change);
  }

  /** Hold a replay where it is. */
  pause(): Promise<void> {
    return this.update({ speed: 0 });
  }

  /** Let a replay go on, `speed` times as fast as it was stored (1 to 100). */
  play(speed = 1): Promise<void> {
    return this.update({ speed });
  }

  /** Play from a moment on, epoch ms of storing; also when it is live. */
  seek(ms: number): Promise<void> {
    return this.update({ from: ms });
  }

  /** Back to the present. */
  live(): Promise<void> {
    return this.update({ from: null });
  }

  /** Nothing more is told. Resolves when the node knows. */
  unsubscribe(): Promise<void> {
    this.end();
    return this.host.leave(this);
  }

  /** Leaving the loop unsubscribes. */
  [Symbol.asyncIterator](): AsyncIterator<Event, undefined> {
    if (this.listener) throw new TypeError("its events go to a listener: subscribe without one to iterate");
    return {
      next: async () => {
        const result = await this.buffer.take();
        this.drained();
        return result;
      },
      return: async () => {
        await this.unsubscribe();
        return { value: undefined, done: true };
      },
    };
  }

  /** For the client's own use: take frames from now on. False when it wants none, or none yet. */
  listen(): boolean {
    if (this.over || this.buffer.size > 0) return !this.over && !this.overflowed;
    this.overflowed = false;
    return true;
  }

  /** For the client's own use: a frame has come. */
  hear(frame: protocol.Event): void {
    if (!this.over && !this.overflowed) for (const event of this.progress.take(frame)) this.tell(event);
  }

  /** For the client's own use: the node has refused it. */
  fail({ number, reason, message }: FleetwireError): void {
    this.tell({ kind: "error", number, reason, description: message });
    this.end();
  }

  /** For the client's own use: nothing more comes. */
  end(): void {
    this.over = true;
    this.buffer.end();
  }

  private tell(event: Event): void {
    if (this.over) return;
    if (this.listener) {
      shielded(this.listener, event);
      return;
    }
    this.buffer.push(event);
    if (this.overflowed || this.buffer.size < this.room || this.progress.midway) return;
    this.overflowed = true;
    this.progress.overflowed();
    this.host.halt(this);
  }

  private drained(): void {
    if (this.overflowed && this.buffer.size === 0) this.host.goOn(this);
  }
}

/** Call a listener. What it throws is uncaught, as in any handler, and keeps nothing from the others. */
export function shielded<T>(listener: (value: T) => void, value: T): void {
  try {
    listener(value);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
