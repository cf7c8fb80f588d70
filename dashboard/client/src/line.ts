import { Backoff } from "./backoff.ts";
import type { Codec } from "./codec.ts";
import { Connection, closing, type WebSocketLike } from "./connection.ts";
import { disconnected, FleetwireError, toFleetwireError } from "./errors.ts";
import type { AnswerTo, Message, Order } from "./messages.ts";
import { measured, type Stats } from "./stats.ts";
import { present, renewal, type Token } from "./token.ts";
import type { State } from "./types.ts";

/** Where a line leads, and its habits in ms. */
export interface Route {
  url: string;
  codec: Codec;
  Socket: WebSocketLike;
  token: Token | undefined;
  pingMs: number;
  silenceMs: number;
}

/** Who is told of a line. */
export interface Ends {
  became(state: State): void;
  live(connection: Connection): void;
  lost(): void;
  heard(message: Message): void;
}

type Timer = ReturnType<typeof setTimeout>;

/** A connection that is authorized, measured, and made anew when it is lost, until it is closed. */
export class Line {
  state: State = { name: "connecting" };
  private readonly route: Route;
  private readonly stats: Stats;
  private readonly ends: Ends;
  private readonly backoff = new Backoff();
  private connection: Connection | undefined;
  private timers: { retry?: Timer; ping?: Timer; silence?: Timer; renewal?: Timer } = {};

  constructor(route: Route, stats: Stats, ends: Ends) {
    this.route = route;
    this.stats = stats;
    this.ends = ends;
  }

  /** Connect now, whatever was planned. */
  connect(): void {
    this.drop();
    this.become({ name: "connecting" });
    const { url, codec, Socket, silenceMs } = this.route;
    const connection = new Connection(url, codec, Socket, {
      opened: () => void this.opened(connection),
      heard: (message, bytes) => this.heard(message, bytes),
      closed: (code, reason) => this.closed(connection, code, reason),
    });
    this.connection = connection;
    this.expect(connection, silenceMs);
  }

  /** Send a command on the connection there is. A node that asks for a token first ends it: denied. */
  async request<O extends Order>(order: O): Promise<AnswerTo<O["action"]>> {
    if (!this.connection) throw disconnected("there is no connection");
    try {
      return await this.connection.request(order);
    } catch (error) {
      if (error instanceof FleetwireError && error.number === 401) this.deny(error);
      throw error;
    }
  }

  /** Show another token from now on, at once. Rejects when a node that is there does not take it; the old one stays. */
  async authorize(token: string): Promise<void> {
    if (this.state.name === "live" && this.connection) await this.show(this.connection, token);
    this.route.token = token;
    if (this.state.name !== "live") this.connect();
  }

  /** The node takes no command without another token. */
  deny(error: FleetwireError): void {
    const { number, reason, message: description } = error;
    this.drop(error);
    this.become({ name: "denied", number, reason, description });
  }

  /** For good. */
  close(reason: string): void {
    this.drop(disconnected(reason));
    this.become({ name: "closed", reason });
  }

  private async opened(connection: Connection): Promise<void> {
    const { token } = this.route;
    try {
      if (token !== undefined) await this.show(connection, await present(token));
    } catch (error) {
      if (connection !== this.connection) return;
      const refusal = toFleetwireError(error);
      if (refusal.number === 401 || refusal.number === 403) this.deny(refusal);
      else connection.close(refusal);
      return;
    }
    if (connection !== this.connection) return;
    this.stats.connects += 1;
    this.become({ name: "live" });
    this.ends.live(connection);
    this.ping(connection);
  }

  private async show(connection: Connection, token: string): Promise<void> {
    const { ts } = await connection.request({ action: "authorize", authorization: token });
    const wait = renewal(token, ts);
    clearTimeout(this.timers.renewal);
    if (wait !== undefined && typeof this.route.token === "function")
      this.timers.renewal = setTimeout(() => void this.renew(connection, token), wait);
  }

  /** Before a token expires. When that fails the node will close the connection, and the next begins with a new one. */
  private async renew(connection: Connection, before: string): Promise<void> {
    if (this.route.token === undefined) return;
    const token = await present(this.route.token).catch(() => before);
    await this.show(connection, token).catch(() => {});
  }

  private ping(connection: Connection): void {
    const [sent, start] = [Date.now(), performance.now()];
    this.expect(connection, this.route.silenceMs);
    const replied = (reply: AnswerTo<"ping">) => {
      clearTimeout(this.timers.silence);
      this.backoff.succeeded();
      measured(this.stats, sent, performance.now() - start, reply.ts);
      this.stats.node = reply.node;
      this.timers.ping = setTimeout(() => this.ping(connection), this.route.pingMs);
    };
    connection.request({ action: "ping" }, replied).catch(() => {});
  }

  private expect(connection: Connection, ms: number): void {
    clearTimeout(this.timers.silence);
    this.timers.silence = setTimeout(() => connection.close(disconnected("no sign of life")), ms);
  }

  private heard(message: Message, bytes: number): void {
    this.stats.frames += 1;
    this.stats.bytes += bytes;
    this.ends.heard(message);
  }

  private closed(connection: Connection, code: number, reason: string): void {
    if (connection !== this.connection) return;
    this.drop();
    const wait = this.backoff.after(code);
    const why = closing(code, reason);
    if (code === 4001 && this.route.token === undefined) this.deny(new FleetwireError(401, "unauthorized", why));
    else if (wait === undefined) this.become({ name: "closed", reason: why });
    else {
      this.become({ name: "waiting", reason: why, until: Date.now() + wait });
      this.timers.retry = setTimeout(() => this.connect(), wait);
    }
  }

  private drop(error = disconnected("the connection was given up")): void {
    for (const timer of Object.values(this.timers)) clearTimeout(timer);
    const connection = this.connection;
    this.connection = undefined;
    connection?.close(error);
    if (connection) this.ends.lost();
  }

  private become(state: State): void {
    this.state = state;
    this.ends.became(state);
  }
}
