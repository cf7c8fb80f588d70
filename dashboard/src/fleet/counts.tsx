/** How many vehicles there are, by status: each a filter. */

import { onlyInView, statuses, toggle } from "./choice.ts";
import type { Feed } from "./feed.ts";
import { STATUSES } from "./vehicles.ts";
import { STATUS_NAMES } from "./words.ts";

export function CountChips({ feed }: { feed: Feed }) {
  const counts = feed.counts.value;
  return (
    <fieldset class="chips">
      <legend class="visually-hidden">Show by status</legend>
      {STATUSES.map(status => (
        <button
          type="button"
          key={status}
          class="chip"
          aria-pressed={statuses.value.has(status)}
          onClick={() => toggle(status)}
        >
          <i class={`dot ${status}`} aria-hidden="true" />
          <strong>{counts[status].toLocaleString("en")}</strong>
          <span>{STATUS_NAMES[status]}</span>
        </button>
      ))}
      <button
        type="button"
        class="chip"
        aria-pressed={onlyInView.value}
        onClick={() => {
          onlyInView.value = !onlyInView.value;
        }}
      >
        On the map only
      </button>
    </fieldset>
  );
}
