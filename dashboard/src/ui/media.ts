/** What the system prefers, as signals. */

import { type ReadonlySignal, signal } from "@preact/signals";

function matches(query: string): ReadonlySignal<boolean> {
  const list = matchMedia(query);
  const now = signal(list.matches);
  list.addEventListener("change", () => {
    now.value = list.matches;
  });
  return now;
}

export const dark = matches("(prefers-color-scheme: dark)");
/** Less motion. */
export const still = matches("(prefers-reduced-motion: reduce)");
/** As narrow as a phone. */
export const narrow = matches("(max-width: 720px)");
