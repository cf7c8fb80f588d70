/** The page's connection to a node: the client, and what the page knows of it, as signals. */

import { type Client, connect, type Options, type State } from "@fleetwire/client";
import { effect, type ReadonlySignal, type Signal, signal } from "@preact/signals";

const TOKEN = "fleetwire.token";

/** A client that shows the token of this tab, if there is one. */
function begin(options: Options): Client {
  const token = sessionStorage.getItem(TOKEN);
  return connect(token ? { ...options, token } : options);
}

export class Session {
  /** The client in use. `authorize` puts another in its place: whoever subscribes does so in an `effect`. */
  readonly client: ReadonlySignal<Client>;
  /** What the client says of its connection. */
  readonly state: ReadonlySignal<State>;
  /** Epoch ms of when the connection was last seen live, undefined before. */
  readonly lastLive: ReadonlySignal<number | undefined>;
  readonly #options: Options;
  readonly #client: Signal<Client>;

  constructor(options: Options = {}) {
    this.#options = options;
    this.#client = signal(begin(options));
    const state = signal<State>({ name: "connecting" });
    const lastLive = signal<number | undefined>(undefined);
    effect(() =>
      this.#client.value.onState(now => {
        if (now.name === "live" || state.peek().name === "live") lastLive.value = Date.now();
        state.value = now;
      }),
    );
    this.client = this.#client;
    this.state = state;
    this.lastLive = lastLive;
  }

  /** Show a token, kept for this tab, on a new connection. */
  authorize(token: string): void {
    sessionStorage.setItem(TOKEN, token);
    this.#client.peek().close();
    this.#client.value = begin(this.#options);
  }
}
