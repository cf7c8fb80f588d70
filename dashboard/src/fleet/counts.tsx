/** How many vehicles there are, by status: each a filter. */

import { statuses, toggle } from "./choice.ts";
import type { Feed } from "./feed.ts";
import { STATUSES } from "./vehicles.ts";
import { STATUS_NAMES } from "./words.ts";

export function Counts({ feed }: { feed: Feed }) {
  const counts = feed.counts.value;
  return (
    <fieldset class="tallies">
      <legend class="visually-hidden">Show by status</legend>
      {STATUSES.map(status => (
        <button
          type="button"
          key={status}
          class="tally"
          aria-pressed={statuses.value.has(status)}
          onClick={() => toggle(status)}
        >
          <strong>{counts[status].toLocaleString("en")}</strong>
          <span>
            <i class={`dot ${status}`} aria-hidden="true" />
            {STATUS_NAMES[status]}
          </span>
        </button>
      ))}
    </fieldset>
  );
}
