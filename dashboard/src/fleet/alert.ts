/** What vehicles have raised: readings of `…/alerts`, newest first, each once. */

import type { Item } from "@fleetwire/client";
import { vehicleOf } from "./topics.ts";

export interface Alert {
  /** Unique among alerts. */
  id: string;
  /** `fleets/berlin/v42` */
  vehicle: string;
  /** Epoch ms. */
  ts: number;
  values: Item["values"];
}

const KEPT = 200;

/** The alerts with some more among them; `alerts` itself when these are all known. */
export function withAlerts(alerts: Alert[], items: Item[]): Alert[] {
  const known = new Set(alerts.map(alert => alert.id));
  const fresh = items
    .map(({ topic, id, ts, values }) => ({ id: `${topic} ${id}`, vehicle: vehicleOf(topic), ts, values }))
    .filter(alert => !known.has(alert.id));
  if (fresh.length === 0) return alerts;
  return [...fresh, ...alerts].sort((a, b) => b.ts - a.ts).slice(0, KEPT);
}

const PLAIN = new Set(["text", "message", "description"]); // what says it by itself

/** What it says, in one line. */
export function wording({ values }: Alert): string {
  const say = (value: unknown) => (typeof value === "object" ? JSON.stringify(value) : String(value));
  return Object.entries(values)
    .map(([signal, value]) => (value === true ? signal : PLAIN.has(signal) ? say(value) : `${signal} ${say(value)}`))
    .join(" · ");
}
