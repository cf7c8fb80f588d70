import { streamUrl } from "./address.ts";
import { codec } from "./codec.ts";
import type { WebSocketLike } from "./connection.ts";
import { disconnected, FleetwireError } from "./errors.ts";
import { Line } from "./line.ts";
import { type AnswerTo, isEvent, type Message, type Order } from "./messages.ts";
import { type Patience, signalOf, within } from "./patience.ts";
import type { Format } from "./protocol.ts";
import { Roster } from "./roster.ts";
import { noStats, type Stats } from "./stats.ts";
import { type Iteration, Subscription, shielded } from "./subscription.ts";
import type { Token } from "./token.ts";
import type { Ask, Event, Item, Page, Past, State } from "./types.ts";

/**
 * How to reach a node. `url`: of the node, http(s) or ws(s); without it, where the page came from. `token`: a JWT, or
 * what gives one: asked on each connection, and anew before one expires. `ping`, `silence`, `timeout`: ms between
 * pings (10,000), until a line that says nothing is given up (15,000), and that a command waits (10,000).
 */
export interface Options {
  url?: string | URL;
  format?: Format;
  token?: Token;
  WebSocket?: WebSocketLike;
  ping?: number;
  silence?: number;
  timeout?: number;
}

/** A connection to the fleet, which comes back until it is closed. */
export class Client {
  readonly stats: Stats = noStats();
  private readonly listeners = new Set<(state: State) => void>();
  private readonly roster: Roster;
  private readonly line: Line;
  private readonly timeout: number;

  constructor({ url, format = "msgpack", token, WebSocket, ping, silence, timeout }: Options = {}) {
    const Socket = WebSocket ?? globalThis.WebSocket;
    if (!Socket) throw new TypeError("there is no WebSocket here (Node before 22): give one as the option WebSocket");
    const [pingMs, silenceMs] = [ping ?? 10_000, silence ?? 15_000];
    this.timeout = timeout ?? 10_000;
    this.roster = new Roster(this.stats, error => this.line.deny(error));
    this.line = new Line(
      { url: streamUrl(url), codec: codec(format), Socket, token, pingMs, silenceMs },
      this.stats,
      {
        became: state => this.became(state),
        live: connection => this.roster.resume(connection),
        lost: () => this.roster.lost(),
        heard: message => this.heard(message),
      },
    );
    this.line.connect();
  }

  get state(): State {
    return this.line.state;
  }

  /** Be told of each state, and of the present one at once. Returns how to stop that. */
  onState(listener: (state: State) => void): () => void {
    this.listeners.add(listener);
    shielded(listener, this.state);
    return () => this.listeners.delete(listener);
  }

  /** Ask for what a topic filter matches. Events go to the listener; without one, iterate over the subscription. */
  subscribe(ask: Ask, listener?: (event: Event) => void, iteration?: Iteration): Subscription {
    const subscription = new Subscription(ask, this.roster, listener, iteration);
    if (this.state.name === "closed") subscription.end();
    else this.roster.add(subscription);
    return subscription;
  }

  /** Play the log from a moment on, epoch ms of storing, `speed` times as fast as it was stored, then go on live. */
  replay(ask: Ask & { from: number }, listener?: (event: Event) => void, iteration?: Iteration): Subscription {
    return this.subscribe(ask, listener, iteration);
  }

  /**
   * Say something in a room or command a vehicle (`ttl`: ms). Gives the id it is stored with. It is sent once at most:
   * a rejection with the reason `disconnected` leaves open whether it was stored.
   */
  async publish(
    topic: string,
    data: unknown,
    { ttl, ...patience }: { ttl?: number } & Patience = {},
  ): Promise<string> {
    const order = { action: "publish" as const, topic, data, ...(ttl === undefined ? {} : { ttl }) };
    const signal = signalOf(patience, this.timeout);
    await this.live(signal);
    return (await within(signal, this.line.request(order))).id;
  }

  /** The current states of what a topic filter matches. */
  async get(topic: string, { meta = false, ...patience }: { meta?: boolean } & Patience = {}): Promise<Item[]> {
    return (await this.request({ action: "get", topic, meta }, patience)).data as Item[];
  }

  /** A page of what is stored, oldest first. */
  async history(past: Past, patience: Patience = {}): Promise<Page> {
    const { action, requestId, ts, ...page } = await this.request({ action: "history", ...past }, patience);
    return page as Page;
  }

  /** All pages of what is stored, one after another. */
  async *historyPages(past: Past, patience: Patience = {}): AsyncGenerator<Page, void> {
    let page = await this.history(past, patience);
    yield page;
    while (page.cursor !== undefined) {
      page = await this.history({ ...past, after: page.cursor }, patience);
      yield page;
    }
  }

  /** Show a token, now and on each connection to come. Rejects when the node does not take it. */
  async authorize(token: string, patience: Patience = {}): Promise<void> {
    const signal = signalOf(patience, this.timeout);
    await within(signal, this.line.authorize(token));
    await this.live(signal);
  }

  /** For good: subscriptions end, and nothing is sent any more. */
  close(): void {
    this.line.close("closed by the client");
  }

  private became(state: State): void {
    if (state.name === "closed") this.roster.close();
    for (const listener of [...this.listeners]) shielded(listener, state);
  }

  private heard(message: Message): void {
    if (isEvent(message)) this.roster.hear(message);
    else if ("subscriptionId" in message && message.action === "subscription")
      this.roster.ended(message.subscriptionId ?? "", message.error.reason === "grants_changed");
  }

  /** Ask what may be asked twice: again on the next connection when one is lost meanwhile. */
  private async request<O extends Order>(order: O, patience: Patience): Promise<AnswerTo<O["action"]>> {
    const signal = signalOf(patience, this.timeout);
    for (;;) {
      await this.live(signal);
      try {
        return await within(signal, this.line.request(order));
      } catch (error) {
        const lost = error instanceof FleetwireError && error.reason === "disconnected";
        if (!lost || signal.aborted) throw error;
      }
    }
  }

  /** Until there is a node to ask. Rejects when there will be none. */
  private async live(signal: AbortSignal): Promise<void> {
    let stop = () => {};
    const live = new Promise<void>((resolve, reject) => {
      stop = this.onState(state => {
        if (state.name === "live") resolve();
        else if (state.name === "closed") reject(disconnected(state.reason));
        else if (state.name === "denied") reject(new FleetwireError(state.number, state.reason, state.description));
      });
    });
    await within(signal, live).finally(() => stop());
  }
}
