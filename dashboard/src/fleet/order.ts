/** Which vehicles the list has, and in what order. */

import { STATUSES, type Vehicle } from "./vehicles.ts";

export type Column = "name" | "status" | "value" | "age";
export interface Sort {
  column: Column;
  descending: boolean;
}

const COLLATOR = new Intl.Collator("en", { numeric: true });

/** By fleet and name, `v9` before `v10`. */
export function byName(vehicles: Iterable<Vehicle>): Vehicle[] {
  return [...vehicles].sort((a, b) => COLLATOR.compare(a.topic, b.topic));
}

/** `named`: in the order of names, which decides where the column does not. `signal`: of the column `value`. */
export function ordered(
  named: Vehicle[],
  { column, descending }: Sort,
  signal: string,
  among: (vehicle: Vehicle) => boolean,
): Vehicle[] {
  const rows = named.filter(among);
  if (column === "name") return descending ? rows.reverse() : rows;
  const rank = rankBy(column, signal);
  const ranked = rows.map(vehicle => ({ vehicle, at: rank(vehicle) }));
  const sign = descending ? -1 : 1;
  ranked.sort((a, b) => compare(a.at, b.at, sign));
  return ranked.map(({ vehicle }) => vehicle);
}

/** Who has no value is last, whichever way it goes. */
function compare(a: number | string | undefined, b: number | string | undefined, sign: number): number {
  if (a === b) return 0;
  if (a === undefined) return 1;
  if (b === undefined) return -1;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a < b ? -sign : sign;
}

function rankBy(column: Column, signal: string): (vehicle: Vehicle) => number | string | undefined {
  if (column === "status") return vehicle => STATUSES.indexOf(vehicle.status);
  if (column === "age") return vehicle => (vehicle.ts ? -vehicle.ts : undefined);
  return ({ values }) => {
    const value = values[signal];
    return typeof value === "number" || typeof value === "string" ? value : undefined;
  };
}
