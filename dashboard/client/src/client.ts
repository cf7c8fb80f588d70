import { streamUrl } from "./address.ts";
import { Backoff } from "./backoff.ts";
import { type Codec, codec } from "./codec.ts";
import { type Command, Connection, type WebSocketLike } from "./connection.ts";
import { FleetwireError, unavailable } from "./errors.ts";
import type { Format } from "./protocol.ts";
import { Subscription } from "./subscription.ts";
import type { Ask, Change, Event, Item, Message, Page, Past, State } from "./types.ts";

/** How to reach a node; without a url, where the page came from. */
export interface Options {
  url?: string | URL;
  format?: Format;
  token?: string | (() => string | Promise<string>);
  WebSocket?: WebSocketLike;
}

/** What the client has measured. `latencyMs` of a ping and back; `clockOffsetMs`: the node's clock less ours. */
export interface Stats {
  latencyMs: number;
  lastLatencyMs: number;
  clockOffsetMs: number;
  node: string | undefined;
  connects: number;
  bytes: number;
  frames: number;
  items: number;
  conflated: number;
  gaps: number;
  duplicates: number;
}

const PING_MS = 10_000;
const REQUEST_MS = 10_000;

/** A connection to the fleet that comes back until it is closed. */
export class Client {
  state: State = { name: "connecting" };
  readonly stats: Stats = {
    latencyMs: 0,
    lastLatencyMs: 0,
    clockOffsetMs: 0,
    node: undefined,
    connects: 0,
    bytes: 0,
    frames: 0,
    items: 0,
    conflated: 0,
    gaps: 0,
    duplicates: 0,
  };
  private readonly url: string;
  private readonly codec: Codec;
  private readonly Socket: WebSocketLike;
  private readonly backoff = new Backoff();
  private readonly listeners = new Set<(state: State) => void>();
  private readonly subscriptions = new Set<Subscription>();
  private readonly ids = new Map<Subscription, string>();
  private token: Options["token"];
  private connection: Connection | undefined;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private pinger: ReturnType<typeof setInterval> | undefined;

  constructor(options: Options = {}) {
    this.url = streamUrl(options.url);
    this.codec = codec(options.format ?? "msgpack");
    this.Socket = options.WebSocket ?? WebSocket;
    this.token = options.token;
    this.connect();
  }

  onState(listener: (state: State) => void): () => void {
    this.listeners.add(listener);
    listener(this.state);
    return () => this.listeners.delete(listener);
  }

  subscribe(ask: Ask, listener?: (event: Event) => void): Subscription {
    const subscription = new Subscription(
      ask,
      { change: (who, change) => this.change(who, change), leave: who => this.leave(who) },
      listener,
    );
    this.subscriptions.add(subscription);
    if (this.state.name === "live") this.enter(subscription);
    return subscription;
  }

  replay(ask: Ask & { from: number }, listener?: (event: Event) => void): Subscription {
    return this.subscribe(ask, listener);
  }

  async publish(topic: string, data: unknown, options: { ttl?: number } = {}): Promise<string> {
    return (await this.request({ action: "publish", topic, data, ...options })).id as string;
  }

  async get(topic: string, options: { meta?: boolean } = {}): Promise<Item[]> {
    return (await this.request({ action: "get", topic, ...options })).data as Item[];
  }

  async history(past: Past): Promise<Page> {
    const { data, cursor, trimmed } = (await this.request({ action: "history", ...past })) as unknown as Page;
    return { data, ...(cursor === undefined ? {} : { cursor }), ...(trimmed === undefined ? {} : { trimmed }) };
  }

  async *historyPages(past: Past): AsyncGenerator<Page, void> {
    for (let after = past.after; ; ) {
      const page = await this.history(after === undefined ? past : { ...past, after });
      yield page;
      if (page.cursor === undefined) return;
      after = page.cursor;
    }
  }

  async authorize(token: string): Promise<void> {
    this.token = token;
    if (this.state.name === "live") await this.request({ action: "authorize", authorization: token });
    else if (this.state.name === "denied") this.connect();
  }

  close(): void {
    this.stop({ name: "closed", reason: "closed by the client" });
  }

  private connect(): void {
    clearTimeout(this.retry);
    this.become({ name: "connecting" });
    const connection = new Connection(this.url, this.codec, this.Socket, {
      opened: () => void this.opened(connection),
      heard: (message, bytes) => this.heard(message, bytes),
      closed: (code, reason) => this.closed(code, reason),
    });
    this.connection = connection;
  }

  private async opened(connection: Connection): Promise<void> {
    if (this.token !== undefined) {
      const authorization = typeof this.token === "string" ? this.token : await this.token();
      try {
        await connection.request({ action: "authorize", authorization });
      } catch (error) {
        if (error instanceof FleetwireError && error.number !== 503) this.deny(error);
        return;
      }
    }
    this.stats.connects += 1;
    this.become({ name: "live" });
    for (const subscription of this.subscriptions) this.enter(subscription);
    this.ping(connection);
    this.pinger = setInterval(() => this.ping(connection), PING_MS);
  }

  private ping(connection: Connection): void {
    const sent = performance.now();
    const replied = (reply: Message) => {
      const took = performance.now() - sent;
      this.backoff.succeeded();
      this.stats.lastLatencyMs = took;
      this.stats.latencyMs = this.stats.latencyMs ? this.stats.latencyMs * 0.8 + took * 0.2 : took;
      this.stats.clockOffsetMs = reply.ts + took / 2 - Date.now();
      this.stats.node = reply.node as string | undefined;
    };
    connection.request({ action: "ping" }, replied).catch(() => {});
  }

  private heard(message: Message, bytes: number): void {
    this.stats.frames += 1;
    this.stats.bytes += bytes;
    if (message.subscriptionId === undefined || message.requestId !== undefined) return;
    for (const [subscription, id] of this.ids) {
      if (id !== message.subscriptionId) continue;
      const before = { ...subscription.stats };
      subscription.hear(message);
      for (const key of ["items", "conflated", "gaps", "duplicates"] as const)
        this.stats[key] += subscription.stats[key] - before[key];
    }
  }

  private closed(code: number, reason: string): void {
    clearInterval(this.pinger);
    this.ids.clear();
    if (this.state.name === "closed" || this.state.name === "denied") return;
    const back = this.backoff.after(code);
    if (back.when === "never") {
      this.stop({ name: "closed", reason: `${code} ${reason}`.trim() });
      return;
    }
    this.become({ name: "waiting", reason: `${code} ${reason}`.trim(), until: Date.now() + back.ms });
    this.retry = setTimeout(() => this.connect(), back.ms);
  }

  private enter(subscription: Subscription): void {
    this.connection
      ?.request({ action: "subscribe", ...subscription.progress.begin() }, reply => {
        this.ids.set(subscription, reply.subscriptionId as string);
      })
      .catch((error: FleetwireError) => {
        if (error.number === 401) return this.deny(error);
        if (error.number === 503) return;
        this.subscriptions.delete(subscription);
        subscription.fail(error);
      });
  }

  private async change(subscription: Subscription, change: Change): Promise<void> {
    const subscriptionId = this.ids.get(subscription);
    if (subscriptionId === undefined) {
      subscription.progress.changed(change);
      return;
    }
    await this.connection?.request({ action: "update", subscriptionId, ...change }, reply => {
      this.ids.set(subscription, reply.subscriptionId as string);
      subscription.progress.changed(change);
    });
  }

  private async leave(subscription: Subscription): Promise<void> {
    this.subscriptions.delete(subscription);
    const subscriptionId = this.ids.get(subscription);
    this.ids.delete(subscription);
    if (subscriptionId !== undefined && ![...this.ids.values()].includes(subscriptionId))
      await this.connection?.request({ action: "unsubscribe", subscriptionId });
  }

  private async request(command: Command): Promise<Message> {
    await this.live();
    if (!this.connection) throw unavailable("there is no connection");
    return this.connection.request(command);
  }

  private live(): Promise<void> {
    if (this.state.name === "live") return Promise.resolve();
    return new Promise((resolve, reject) => {
      const stop = this.onState(state => {
        if (state.name === "live") done(resolve);
        else if (state.name === "closed") done(() => reject(unavailable(state.reason)));
        else if (state.name === "denied")
          done(() => reject(new FleetwireError(state.number, state.reason, state.description)));
      });
      const timer = setTimeout(() => done(() => reject(unavailable("no node answers"))), REQUEST_MS);
      const done = (settle: () => void) => {
        clearTimeout(timer);
        queueMicrotask(() => stop());
        settle();
      };
    });
  }

  private deny({ number, reason, message }: FleetwireError): void {
    this.become({ name: "denied", number, reason, description: message });
    this.connection?.close();
  }

  private stop(state: State): void {
    clearTimeout(this.retry);
    this.become(state);
    this.connection?.close();
    for (const subscription of this.subscriptions) subscription.end();
  }

  private become(state: State): void {
    this.state = state;
    for (const listener of this.listeners) listener(state);
  }
}
