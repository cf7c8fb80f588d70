import { FleetwireError, unavailable } from "./errors.ts";
import type { Message } from "./types.ts";

interface Pending {
  replied(reply: Message): void;
  failed(error: FleetwireError): void;
}

/** The commands of one connection that wait for their replies. */
export class Requests {
  private last = 0;
  private readonly pending = new Map<string, Pending>();

  /** A new request id. What happens at the reply happens at once, before the next message is looked at. */
  open(pending: Pending): string {
    const id = String(++this.last);
    this.pending.set(id, pending);
    return id;
  }

  /** Whether a message was the reply to something asked. */
  settle(message: Message): boolean {
    const pending = message.requestId === undefined ? undefined : this.pending.get(message.requestId);
    if (!pending) return false;
    this.pending.delete(message.requestId as string);
    if (message.error) {
      const { number, reason, description } = message.error;
      pending.failed(new FleetwireError(number, reason, description));
    } else pending.replied(message);
    return true;
  }

  /** No reply comes any more. */
  abandon(why: string): void {
    const left = [...this.pending.values()];
    this.pending.clear();
    for (const pending of left) pending.failed(unavailable(why));
  }
}
