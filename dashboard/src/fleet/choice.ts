/** What whoever looks at the fleet has chosen: which vehicles, what of them, and how they are coloured. */

import { computed, signal } from "@preact/signals";
import type { Sort } from "./order.ts";
import { STATUSES, type Status, type Vehicle } from "./vehicles.ts";

/** Statuses that are shown; all of them when it is empty. */
export const statuses = signal<ReadonlySet<Status>>(new Set());
export const search = signal("");
export const onlyInView = signal(false);
/** The signal that the map is coloured by, and that the list has a column of; the status without one. */
export const colouring = signal<string | undefined>(undefined);
export const sort = signal<Sort>({ column: "name", descending: false });
/** Where the keys are in the list: `fleets/berlin/v42`. */
export const active = signal<string | undefined>(undefined);
/** The vehicle that is pointed at, in the list or on the map: `fleets/berlin/v42`. */
export const hovered = signal<string | undefined>(undefined);

/** Whether a vehicle is among the chosen ones, by status and name. */
export const chosen = computed(() => {
  const words = search.value.trim().toLowerCase();
  const among = statuses.value;
  return (vehicle: Vehicle): boolean =>
    (among.size === 0 || among.has(vehicle.status)) &&
    (!words || vehicle.topic.slice(7).toLowerCase().includes(words));
});

export function toggle(status: Status): void {
  const next = new Set(statuses.value);
  if (!next.delete(status)) next.add(status);
  statuses.value = next.size === STATUSES.length ? new Set() : next;
}
