/** How far back can be played. */

import type { Client } from "@fleetwire/client";

export const LONGEST_MS = 3_600_000;

/**
 * Epoch ms of storing of the oldest that the log of a vehicle still has, of the last hour; undefined when it has
 * nothing. One vehicle stands for all: a log of thousands is not searched for a scale.
 */
export async function oldest(client: Client, vehicle: string): Promise<number | undefined> {
  const from = Math.floor(Date.now() + client.stats.clockOffsetMs - LONGEST_MS);
  const { data } = await client.history({ topic: `${vehicle}/telemetry`, from, limit: 1 });
  const id = data[0]?.id;
  return id === undefined ? undefined : Number(id.slice(0, id.indexOf("-")));
}
