/** What a vehicle was told, and what came of it. Pure. Times in ms of one clock that only grows. */

export type Outcome = "SENDING" | "PENDING" | "IN_PROGRESS" | "SUCCEEDED" | "FAILED" | "TIMED_OUT" | "REFUSED";

export interface Command {
  readonly key: number;
  readonly name: string;
  readonly sent: number;
  readonly outcome: Outcome;
  /** In words, or as the device says it. */
  readonly reason?: string;
  readonly data?: unknown;
  /** From sending it to the last reply. */
  readonly took?: number;
}

/** The data of an item of `…/replies`. */
export interface Reply {
  readonly correlation: string;
  readonly status: string;
  readonly reason?: string;
  readonly data?: unknown;
}

const KEPT = 20;
const STATUSES: readonly string[] = ["IN_PROGRESS", "SUCCEEDED", "FAILED", "TIMED_OUT"];

/** Joins commands with their replies, which may come before it is known under which id the command was stored. */
export class Commands {
  /** Newest first. */
  list: readonly Command[] = [];
  #keys = new Map<string, number>(); // by correlation
  #early: { reply: Reply; at: number }[] = [];
  #last = 0;

  /** A command is on its way. Its key is for `accepted` or `refused`. */
  send(name: string, at: number): number {
    const key = ++this.#last;
    this.list = [{ key, name, sent: at, outcome: "SENDING" as const }, ...this.list].slice(0, KEPT);
    return key;
  }

  /** It is stored: `correlation` is what its replies have. */
  accepted(key: number, correlation: string): void {
    this.#keys.set(correlation, key);
    this.#change(key, command => ({ ...command, outcome: "PENDING" }));
    const early = this.#early.filter(({ reply }) => reply.correlation === correlation);
    this.#early = [];
    for (const { reply, at } of early) this.replied(reply, at);
  }

  /** It was not stored. */
  refused(key: number, reason: string): void {
    this.#change(key, command => ({ ...command, outcome: "REFUSED", reason }));
  }

  /** A reply has come; those to commands of others are passed over. */
  replied(reply: Reply, at: number): void {
    if (!STATUSES.includes(reply.status)) return;
    const key = this.#keys.get(reply.correlation);
    if (key === undefined) {
      if (this.list.some(({ outcome }) => outcome === "SENDING")) this.#early.push({ reply, at });
      return;
    }
    this.#change(key, ({ key, name, sent }) => ({
      key,
      name,
      sent,
      outcome: reply.status as Outcome,
      took: at - sent,
      ...(reply.reason !== undefined && { reason: reply.reason }),
      ...(reply.data !== undefined && { data: reply.data }),
    }));
  }

  #change(key: number, how: (command: Command) => Command): void {
    this.list = this.list.map(command => (command.key === key ? how(command) : command));
  }
}

/** What a person typed as the data of a command: a JSON object, or nothing. Throws an error in words. */
export function dataOf(text: string): Record<string, unknown> {
  if (!text.trim()) return {};
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    throw new Error('This is not JSON. Write an object, such as {"limit": 30}.');
  }
  if (typeof data !== "object" || data === null || Array.isArray(data)) {
    throw new Error('The data of a command is an object, such as {"limit": 30}.');
  }
  return data as Record<string, unknown>;
}

const REFUSALS: Record<number, string> = {
  401: "The node wants a token first.",
  403: "You may not command this vehicle: your token has no grant for it.",
  404: "Nobody has ever heard of this vehicle.",
  413: "The data is too big: at most 64 KiB.",
  503: "The node can't store it at the moment. Try again.",
  507: "The store is full: no command is taken until there is room.",
};

/** Why a command was not taken, in words. */
export function refusalOf(error: { number?: number; message: string }): string {
  return REFUSALS[error.number ?? 0] ?? `${error.message}.`;
}

const REASONS: Record<string, string> = {
  no_answer: "It was sent, and no answer came in time.",
  offline: "The vehicle is not connected.",
  expired: "It could not be sent in time.",
  unknown_command: "The vehicle does not know this command.",
};

/** Why a command did not succeed: the words of the bridge in ours, those of a device as they are. */
export function reasonOf(reason: string): string {
  return REASONS[reason] ?? reason;
}
