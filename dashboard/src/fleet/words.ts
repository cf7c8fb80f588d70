/** How things are said to people. */

import type { Status } from "./vehicles.ts";

export const STATUS_NAMES: Record<Status, string> = {
  online: "Online",
  offline: "Offline",
  broken: "Broken",
  unknown: "Unknown",
};

/** Units of signals that this page knows by their VSS name, by the end of it. */
const UNITS: [end: string, unit: string][] = [
  ["Speed", "km/h"],
  ["StateOfCharge.Current", "%"],
  ["TraveledDistance", "km"],
  ["Temperature", "°C"],
  ["Temperature.Average", "°C"],
  ["CurrentLocation.Heading", "°"],
];

export function unitOf(signal: string): string {
  return UNITS.find(([end]) => signal.endsWith(end))?.[1] ?? "";
}

/** `Powertrain.TractionBattery.StateOfCharge.Current` → `State of charge`: the last words that tell signals apart. */
export function shortName(signal: string): string {
  const parts = signal.split(".").filter(part => part !== "Current" && part !== "Average");
  const words = (parts.at(-1) ?? signal).replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function number(value: number): string {
  return value.toLocaleString("en", { maximumFractionDigits: Math.abs(value) < 100 ? 1 : 0 });
}

/** A value of any kind, with at most one decimal. */
export function say(value: unknown): string {
  if (typeof value === "number") return number(value);
  if (value === undefined || value === null) return "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** How long ago, as short as it goes: `4 s`, `12 min`, `3 h`, `5 d`. */
export function age(ms: number): string {
  const seconds = Math.max(0, ms) / 1_000;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** The time of day, and the day when it is another. */
export function moment(ms: number, now = Date.now()): string {
  const time = TIME.format(ms);
  return DAY.format(ms) === DAY.format(now) ? time : `${DAY.format(ms)} ${time}`;
}
