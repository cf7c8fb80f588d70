import { FleetwireError } from "./errors.ts";
import type { Message } from "./messages.ts";
import type { Answer } from "./protocol.ts";

/** Who waits for a reply. */
export interface Pending {
  replied(reply: Answer): void;
  failed(error: FleetwireError): void;
}

/** The commands of one connection that wait for their replies. */
export class Requests {
  private last = 0;
  private readonly pending = new Map<string, Pending>();

  /** A new request id. Who waits is told at once when the reply comes, before the next message is looked at. */
  open(pending: Pending): string {
    const id = String(++this.last);
    this.pending.set(id, pending);
    return id;
  }

  /** Tell whoever waits for a message, if it is a reply. */
  settle(message: Message): void {
    const id = "requestId" in message ? message.requestId : undefined;
    const pending = id === undefined ? undefined : this.pending.get(id);
    if (id === undefined || !pending) return;
    this.pending.delete(id);
    if ("error" in message) {
      const { number, reason, description } = message.error;
      pending.failed(new FleetwireError(number, reason, description));
    } else pending.replied(message as Answer);
  }

  /** No reply comes any more. */
  abandon(error: FleetwireError): void {
    const left = [...this.pending.values()];
    this.pending.clear();
    for (const pending of left) pending.failed(error);
  }
}
