/** The vehicles that the page knows, and what it knows of them. */

import type { Item } from "@fleetwire/client";
import { FAINT, FULL, HIDDEN, Motion, mercator } from "./motion.ts";
import { vehicleOf } from "./topics.ts";

export const LATITUDE = "CurrentLocation.Latitude";
export const LONGITUDE = "CurrentLocation.Longitude";
export const HEADING = "CurrentLocation.Heading";

export const STATUSES = ["online", "offline", "broken", "unknown"] as const;
export type Status = (typeof STATUSES)[number];
export type Counts = Record<Status, number>;
/** Degrees: west, south, east, north; west > east crosses the antimeridian. */
export type Box = [west: number, south: number, east: number, north: number];

export interface Vehicle {
  /** `fleets/berlin/v42` */
  readonly topic: string;
  readonly fleet: string;
  readonly name: string;
  readonly slot: number;
  status: Status;
  /** Last values by signal. */
  values: Item["values"];
  /** Epoch ms of its last reading, by its own clock; 0 for none. */
  ts: number;
  /** It has a position. */
  placed: boolean;
  /** It is among those that the live subscription tells of. */
  inView: boolean;
}

const STATES: Record<string, Status> = {
  ONLINE: "online",
  CONNECTED: "online",
  OFFLINE: "offline",
  DISCONNECTED: "offline",
  CONNECTIONBROKEN: "broken",
};

export class Vehicles {
  readonly motion = new Motion();
  readonly byTopic = new Map<string, Vehicle>();
  /** How many are known, and how many of them have a position. */
  members = 0;
  located = 0;
  /** What colours mean: a signal, or the status when undefined. And the values of it that were seen. */
  colouring: string | undefined;
  range: [low: number, high: number] | undefined;
  #inBox: (vehicle: Vehicle) => boolean = () => false;
  #stressed: (vehicle: Vehicle) => boolean = () => true;
  #named: Set<Vehicle> | undefined;

  /** Readings of `…/telemetry`. `now`: of `performance.now()`; `live`: of the subscription that follows the view. */
  readings(items: Item[], now: number, live = true): void {
    for (const item of items) {
      const vehicle = this.#known(vehicleOf(item.topic));
      this.#named?.add(vehicle);
      if (!live && vehicle.inView) continue;
      this.#reading(vehicle, item, now);
      vehicle.inView = live && item.event !== "leave";
      this.#paint(vehicle);
    }
  }

  /** Readings of `…/status`. */
  statuses(items: Item[]): void {
    for (const item of items) {
      const vehicle = this.#known(vehicleOf(item.topic));
      vehicle.status = STATES[String(item.values.connectionState)] ?? "unknown";
      this.#paint(vehicle);
    }
  }

  /** A snapshot begins: it names all that are in the box (all there are, without one). */
  begin(): void {
    this.#named ??= new Set();
  }

  /** The snapshot is complete: whom it did not name is elsewhere. */
  end(box: Box | undefined): void {
    const named = this.#named ?? new Set();
    this.#named = undefined;
    this.#inBox = vehicle => box !== undefined && vehicle.placed && contains(box, vehicle);
    for (const vehicle of this.byTopic.values()) {
      if (!named.has(vehicle)) vehicle.inView = false;
      this.#paint(vehicle);
    }
  }

  /** Colour by a signal, or by status. */
  colourBy(signal: string | undefined): void {
    this.colouring = signal;
    this.range = undefined;
    this.#paintAll();
  }

  /** Draw the others faintly. */
  stress(which: (vehicle: Vehicle) => boolean): void {
    this.#stressed = which;
    this.#paintAll();
  }

  counts(): Counts {
    const counts: Counts = { online: 0, offline: 0, broken: 0, unknown: 0 };
    for (const vehicle of this.byTopic.values()) counts[vehicle.status]++;
    return counts;
  }

  /** The box around all positions; undefined when there is none. */
  bounds(): Box | undefined {
    let box: Box | undefined;
    for (const { values, placed } of this.byTopic.values()) {
      if (!placed) continue;
      const x = values[LONGITUDE] as number;
      const y = values[LATITUDE] as number;
      box = box ? [Math.min(box[0], x), Math.min(box[1], y), Math.max(box[2], x), Math.max(box[3], y)] : [x, y, x, y];
    }
    return box;
  }

  #known(topic: string): Vehicle {
    const known = this.byTopic.get(topic);
    if (known) return known;
    const [, fleet = "", name = ""] = topic.split("/");
    const slot = this.motion.take();
    const vehicle: Vehicle = {
      topic, fleet, name, slot, status: "unknown", values: {}, ts: 0, placed: false, inView: false,
    }; // biome-ignore format: one line says it
    this.byTopic.set(topic, vehicle);
    this.members++;
    return vehicle;
  }

  #reading(vehicle: Vehicle, { values, ts }: Item, now: number): void {
    Object.assign(vehicle.values, values);
    vehicle.ts = ts;
    if (values[LATITUDE] === undefined && values[LONGITUDE] === undefined && values[HEADING] === undefined) return;
    const latitude = vehicle.values[LATITUDE];
    const longitude = vehicle.values[LONGITUDE];
    if (typeof latitude !== "number" || typeof longitude !== "number") return;
    const heading = vehicle.values[HEADING];
    const [x, y] = mercator(longitude, latitude);
    this.motion.move(vehicle.slot, x, y, typeof heading === "number" ? heading : Number.NaN, now);
    if (!vehicle.placed) this.located++;
    vehicle.placed = true;
  }

  #paintAll(): void {
    for (const vehicle of this.byTopic.values()) this.#paint(vehicle);
  }

  #paint(vehicle: Vehicle): void {
    const elsewhere = !vehicle.placed || (!vehicle.inView && this.#inBox(vehicle));
    const weight = elsewhere ? HIDDEN : vehicle.inView && this.#stressed(vehicle) ? FULL : FAINT;
    this.motion.paint(vehicle.slot, this.#tint(vehicle), weight);
  }

  #tint(vehicle: Vehicle): number {
    if (this.colouring === undefined) return STATUSES.indexOf(vehicle.status);
    const value = vehicle.values[this.colouring];
    if (typeof value !== "number") return Number.NaN;
    const [low, high] = this.range ?? [value, value];
    if (!this.range || value < low || value > high) this.range = [Math.min(low, value), Math.max(high, value)];
    return value;
  }
}

function contains([west, south, east, north]: Box, vehicle: Vehicle): boolean {
  const x = vehicle.values[LONGITUDE] as number;
  const y = vehicle.values[LATITUDE] as number;
  const within = west <= east ? west <= x && x <= east : x >= west || x <= east;
  return within && south <= y && y <= north;
}
