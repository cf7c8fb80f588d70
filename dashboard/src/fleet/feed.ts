/** What comes from the node into the fleet view: subscriptions that follow what is seen. */

import type { Ask, Client, DataEvent, ErrorEvent, Event, Item, Subscription } from "@fleetwire/client";
import { batch, computed, effect, type ReadonlySignal, signal } from "@preact/signals";
import type { Session } from "../session.ts";
import { type Alert, withAlerts } from "./alert.ts";
import { Playback } from "./playback.ts";
import { Pulse } from "./pulse.ts";
import { EVERYTHING, ofKind } from "./topics.ts";
import { Vehicles } from "./vehicles.ts";
import { intervalOf, padded, serves, type Viewport } from "./viewport.ts";

const SETTLE_MS = 250; // after a move of the map
const ROSTER_MS = 60_000; // who there is outside of the view, and about where
const ALERTS_MS = 24 * 3_600_000;
const ALWAYS = ["CurrentLocation.*", "Speed"];

export class Feed {
  /** The filter of the page, of telemetry topics. */
  readonly topic: string;
  readonly vehicles = new Vehicles();
  readonly #pulse = new Pulse();
  /** Grow when anything changed: once a frame at most, and four times a second at most. */
  readonly frame = this.#pulse.frame;
  readonly beat = this.#pulse.beat;
  readonly counts = computed(() => {
    this.beat.value;
    return this.vehicles.counts();
  });
  readonly #playback = new Playback(() => [this.#live, this.#status].filter(one => one !== undefined));
  /** Live, or where in the log the page is. */
  readonly mode = this.#playback.mode;
  readonly #second = signal(0);
  /** Grows once a second. */
  readonly second: ReadonlySignal<number> = this.#second;
  readonly #members = signal(0);
  /** How many vehicles are known. */
  readonly members: ReadonlySignal<number> = this.#members;
  readonly #ready = signal(false);
  /** Whether it is known who there is. */
  readonly ready: ReadonlySignal<boolean> = this.#ready;
  readonly #located = signal(false);
  /** Whether the position of any vehicle is known. */
  readonly located: ReadonlySignal<boolean> = this.#located;
  readonly #alerts = signal<Alert[]>([]);
  /** Newest first. */
  readonly alerts: ReadonlySignal<Alert[]> = this.#alerts;
  readonly #readings = signal(0);
  /** Received in the last second. */
  readonly readings: ReadonlySignal<number> = this.#readings;
  readonly #conflated = signal(0);
  /** Overtaken by newer ones since the page was opened. */
  readonly conflated: ReadonlySignal<number> = this.#conflated;
  readonly #gaps = signal(0);
  /** How often some were told to be missing since the page was opened. */
  readonly gaps: ReadonlySignal<number> = this.#gaps;
  readonly #refusal = signal<ErrorEvent | undefined>(undefined);
  /** Why the node refused what the page asks for. */
  readonly refusal: ReadonlySignal<ErrorEvent | undefined> = this.#refusal;
  readonly #signals = signal<string[]>([]);
  /** Names of the numbers that vehicles send, as far as they were seen. */
  readonly signals: ReadonlySignal<string[]> = this.#signals;

  #client: Client | undefined;
  #roster: Subscription | undefined;
  #live: Subscription | undefined;
  #status: Subscription | undefined;
  #viewport: Viewport | undefined;
  #shown: string[] = ALWAYS;
  #settling: ReturnType<typeof setTimeout> | undefined;
  #received = 0;

  constructor(session: Session, topic = EVERYTHING) {
    this.topic = topic;
    effect(() => this.#begin(session.client.value));
    setInterval(() => {
      this.#readings.value = this.#received;
      this.#received = 0;
      this.#second.value++;
    }, 1_000);
  }

  /** Epoch ms of the moment that is shown. */
  now = (): number => this.#playback.now();
  /** Go to a moment of the log, epoch ms of storing. */
  seek = (ms: number): Promise<void> => this.#playback.seek(ms);
  /** Let the replay go on, `speed` times as fast as it was (1 to 100). */
  play = (speed: number): Promise<void> => this.#playback.play(speed);
  pause = (): Promise<void> => this.#playback.pause();
  /** Back to the present. */
  live = (): Promise<void> => this.#playback.live();

  /** The map shows this; undefined when there is no map. */
  look(viewport: Viewport | undefined): void {
    this.#viewport = viewport;
    this.#settle();
  }

  /** Signals that are shown beside position and speed. */
  show(signals: string[]): void {
    this.#shown = [...new Set([...ALWAYS, ...signals])].sort();
    this.#settle();
  }

  #begin(client: Client): () => void {
    const { topic } = this;
    this.#client = client;
    this.#live = undefined;
    this.#refusal.value = undefined;
    const roster: Ask = { topic, interval: ROSTER_MS, signals: this.#shown, delta: true };
    this.#roster = client.subscribe(roster, event => this.#onRoster(event));
    const status: Ask = { topic: ofKind(topic, "status"), interval: 500, signals: ["connectionState"] };
    this.#status = client.subscribe(status, event => this.#onStatus(event));
    const alerts = client.subscribe({ topic: ofKind(topic, "alerts"), strategy: "batch" }, event => {
      if (event.kind === "data") this.#alerted(event.items);
    });
    if (this.#ready.peek()) this.#settle(); // another client, after a token: it goes on where the one before was
    this.#playback.told({ kind: "replay", state: "live" });
    this.#recall(client).catch(() => {}); // what is refused or unreachable is told by the subscriptions
    return () => {
      for (const one of [this.#roster, this.#status, this.#live, alerts]) one?.unsubscribe().catch(() => {});
    };
  }

  /** Alerts of the last day. */
  async #recall(client: Client): Promise<void> {
    const past = { topic: ofKind(this.topic, "alerts"), from: Date.now() - ALERTS_MS, limit: 1_000 };
    for await (const page of client.historyPages(past)) this.#alerted(page.data);
  }

  #alerted(items: Item[]): void {
    this.#alerts.value = withAlerts(this.#alerts.peek(), items);
  }

  #onRoster(event: Event): void {
    if (event.kind === "error") this.#refusal.value = event;
    if (event.kind !== "data") return;
    if (this.mode.peek().kind === "live") this.vehicles.readings(event.items, performance.now(), false);
    if (event.snapshot && !event.more && !this.#ready.peek()) this.#know();
    this.#tell();
  }

  #onStatus(event: Event): void {
    if (event.kind !== "data") return;
    this.vehicles.statuses(event.items);
    this.#tell();
  }

  #onLive(event: Event, asked: () => Ask): void {
    if (event.kind === "error") this.#refusal.value = event;
    else if (event.kind === "replay") this.#playback.told(event);
    else if (event.kind === "gap") this.#gaps.value++;
    else this.#onReadings(event, asked());
  }

  #onReadings(event: DataEvent, { bbox }: Ask): void {
    if (event.whole) this.vehicles.begin();
    this.vehicles.readings(event.items, performance.now());
    if (event.whole && !event.more) this.vehicles.end(bbox);
    this.#received += event.items.length;
    this.#conflated.value += event.conflated;
    this.#tell();
  }

  #tell(): void {
    this.#members.value = this.vehicles.members;
    this.#located.value = this.vehicles.located > 0;
    this.#pulse.changed();
  }

  /** Now it is known who there is: fit the map, then follow what it shows. */
  #know(): void {
    batch(() => {
      this.#members.value = this.vehicles.members;
      this.#located.value = this.vehicles.located > 0;
      this.#ready.value = true;
    });
    this.#settle();
    const [first] = this.vehicles.byTopic.keys();
    if (first) this.#learn(`${first}/telemetry`).catch(() => {}); // without it, there are fewer signals to choose from
  }

  async #learn(topic: string): Promise<void> {
    const [item] = (await this.#client?.get(topic)) ?? [];
    const numbers = Object.entries(item?.values ?? {}).filter(([, value]) => typeof value === "number");
    this.#signals.value = numbers.map(([name]) => name).sort();
  }

  #settle(): void {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#follow(), this.#live ? SETTLE_MS : 0);
  }

  /** Ask for what is shown: of the vehicles in view, or of all while there is no view of them. */
  #follow(): void {
    if (!this.#client || !this.#ready.peek()) return;
    const view = this.#located.peek() ? this.#viewport : undefined;
    const interval = intervalOf(view?.zoom ?? 12);
    const wanted = { interval, signals: this.#shown };
    if (!this.#live) {
      const ask: Ask = { topic: this.topic, delta: true, ...wanted, ...(view && { bbox: padded(view.box) }) };
      const live = this.#client.subscribe(ask, event => this.#onLive(event, () => live.ask));
      this.#live = live;
      return;
    }
    const { ask } = this.#live;
    const fits = view ? ask.bbox && serves(ask.bbox, view.box) : !ask.bbox;
    const same = ask.interval === interval && String(ask.signals) === String(this.#shown);
    if (fits && same) return;
    const bbox = view ? (fits && ask.bbox ? ask.bbox : padded(view.box)) : null;
    this.#live.update({ ...wanted, bbox }).catch(() => {}); // a connection that breaks meanwhile asks for it anew
    this.#roster?.update({ signals: this.#shown }).catch(() => {});
  }
}
