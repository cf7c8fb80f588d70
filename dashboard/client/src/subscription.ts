import { Buffer } from "./buffer.ts";
import type { FleetwireError } from "./errors.ts";
import { type Counts, Progress } from "./progress.ts";
import type { Ask, Change, Event, Message } from "./types.ts";

/** What a subscription has a client do for it. */
export interface Host {
  change(subscription: Subscription, change: Change): Promise<void>;
  leave(subscription: Subscription): Promise<void>;
}

/** What was asked for, and what comes of it, over all reconnects. */
export class Subscription implements AsyncIterable<Event> {
  /** For the client only. */
  readonly progress: Progress;
  private readonly host: Host;
  private readonly listener: ((event: Event) => void) | undefined;
  private readonly buffer = new Buffer<Event>();

  constructor(ask: Ask, host: Host, listener?: (event: Event) => void) {
    this.progress = new Progress(ask);
    this.host = host;
    this.listener = listener;
  }

  /** What it asks for now. */
  get ask(): Ask {
    return this.progress.ask;
  }

  get cursor(): string | undefined {
    return this.progress.cursor;
  }

  get stats(): Readonly<Counts> {
    return this.progress.counts;
  }

  /** Ask for something else; null takes a field away. */
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

  /** Play from another moment, epoch ms of storing. */
  seek(ms: number): Promise<void> {
    return this.update({ from: ms });
  }

  /** Leave the past. */
  live(): Promise<void> {
    return this.update({ from: null });
  }

  unsubscribe(): Promise<void> {
    this.buffer.end();
    return this.host.leave(this);
  }

  [Symbol.asyncIterator](): AsyncIterator<Event> {
    return {
      next: () => this.buffer.take(),
      return: async () => {
        await this.unsubscribe();
        return { value: undefined, done: true };
      },
    };
  }

  /** For the client only: a frame that is for it. */
  hear(message: Message): void {
    const event = this.progress.take(message);
    if (event) this.tell(event);
  }

  /** For the client only: the node has refused it. */
  fail({ number, reason, message }: FleetwireError): void {
    this.tell({ kind: "error", number, reason, description: message });
    this.end();
  }

  /** For the client only: nothing comes any more. */
  end(): void {
    this.buffer.end();
  }

  private tell(event: Event): void {
    if (this.listener) this.listener(event);
    else this.buffer.push(event);
  }
}
