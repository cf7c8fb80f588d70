// Drafted by hand until the one that is generated from the AsyncAPI document takes its place.

export type Format = "json" | "msgpack";
export type Strategy = "latest" | "batch";
export type Value = number | string | boolean | null;
export type Box = [west: number, south: number, east: number, north: number];
export interface Geofence {
  polygon: [number, number][];
  events?: ("enter" | "leave")[];
}
export type Filters = Record<string, { variant: string; parameter: unknown }>;
export type Summary = { min?: number; max?: number; mean?: number; last?: Value };

export const CLOSE_CODES: Record<number, { reason: string; comeBack: "now" | "later" | "renewed" | "never" }> = {
  1001: { reason: "node going away", comeBack: "now" },
  1009: { reason: "message too big", comeBack: "never" },
  1012: { reason: "node restarting", comeBack: "now" },
  1013: { reason: "node full", comeBack: "later" },
  4001: { reason: "token expired", comeBack: "renewed" },
  4003: { reason: "forbidden", comeBack: "never" },
  4008: { reason: "took nothing for the whole timeout", comeBack: "now" },
  4029: { reason: "too many commands", comeBack: "later" },
};
