/** The names of things: `fleets/FLEET/VEHICLE/KIND`. */

export const EVERYTHING = "fleets/+/+/telemetry";

/** `fleets/berlin/v42` of any of its topics. */
export function vehicleOf(topic: string): string {
  return topic.slice(0, topic.lastIndexOf("/"));
}

/** The topics of another kind that belong to a filter of telemetry: the status of the same vehicles, their alerts. */
export function ofKind(filter: string, kind: "telemetry" | "status" | "alerts"): string {
  const [root = "fleets", fleet = "+", vehicle = "+"] = filter.split("/").map(part => (part === "#" ? "+" : part));
  return `${root}/${fleet}/${vehicle}/${kind}`;
}
