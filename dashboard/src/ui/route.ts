/** Where the page is: `#/` the fleet, `#/fleets/berlin/v42` a vehicle. */

import { computed, type ReadonlySignal, signal } from "@preact/signals";

const hash = signal(location.hash);
addEventListener("hashchange", () => {
  hash.value = location.hash;
});

/** `fleets/berlin/v42` on the page of a vehicle, undefined on that of the fleet. */
export const vehicleShown: ReadonlySignal<string | undefined> = computed(
  () => /^#\/(fleets\/[^/]+\/[^/]+)$/.exec(hash.value)?.[1],
);

export function open(vehicle: string): void {
  location.hash = `#/${vehicle}`;
}

/** Back to the fleet. */
export function close(): void {
  location.hash = "#/";
}
