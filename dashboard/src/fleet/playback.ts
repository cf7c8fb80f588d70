/** Where the page is in time: live, or at some moment of the log, and how it goes on from there. */

import type { ReplayEvent, Subscription } from "@fleetwire/client";
import { type ReadonlySignal, signal } from "@preact/signals";

/** `position`: epoch ms of storing, at the time `at` of `performance.now()`; it grows `speed` times as fast as time. */
export type Mode =
  | { kind: "live" }
  | { kind: "replaying"; state: "playing" | "paused"; position: number; speed: number; at: number };

export class Playback {
  readonly mode: ReadonlySignal<Mode>;
  readonly #mode = signal<Mode>({ kind: "live" });
  readonly #subscriptions: () => Subscription[];

  /** `subscriptions`: those that go through time together. */
  constructor(subscriptions: () => Subscription[]) {
    this.#subscriptions = subscriptions;
    this.mode = this.#mode;
  }

  /** Epoch ms of the moment that is shown. */
  now(): number {
    const mode = this.#mode.peek();
    if (mode.kind === "live") return Date.now();
    const passed = mode.state === "playing" ? (performance.now() - mode.at) * mode.speed : 0;
    return mode.position + passed;
  }

  /** Go to a moment of the log (epoch ms); it plays from there, or waits there when it was paused. */
  async seek(ms: number): Promise<void> {
    const mode = this.#mode.peek();
    const { speed, state } = mode.kind === "live" ? { speed: 1, state: "playing" as const } : mode;
    this.#mode.value = { kind: "replaying", state, position: ms, speed, at: performance.now() };
    await this.#all(subscription => subscription.seek(ms));
  }

  /** Go on, `speed` times as fast as it was (1 to 100). What is live has no pace. */
  async play(speed: number): Promise<void> {
    if (this.#turn("playing", speed)) await this.#all(subscription => subscription.play(speed));
  }

  async pause(): Promise<void> {
    if (this.#turn("paused")) await this.#all(subscription => subscription.pause());
  }

  /** Back to the present. */
  async live(): Promise<void> {
    this.#mode.value = { kind: "live" };
    await this.#all(subscription => subscription.live());
  }

  /** What the node says of where the replay is. */
  told(event: ReplayEvent): void {
    if (event.state === "live") {
      this.#mode.value = { kind: "live" };
      return;
    }
    const before = this.#mode.peek();
    const speed = event.state === "playing" && event.speed ? event.speed : before.kind === "live" ? 1 : before.speed;
    const position = event.position ?? this.now();
    this.#mode.value = { kind: "replaying", state: event.state, position, speed, at: performance.now() };
  }

  /** Whether there is a replay to turn. */
  #turn(state: "playing" | "paused", speed?: number): boolean {
    const mode = this.#mode.peek();
    if (mode.kind === "live") return false;
    this.#mode.value = { ...mode, state, position: this.now(), speed: speed ?? mode.speed, at: performance.now() };
    return true;
  }

  async #all(act: (subscription: Subscription) => Promise<void>): Promise<void> {
    await Promise.all(this.#subscriptions().map(act));
  }
}
