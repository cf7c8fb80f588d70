/** What held when, as a ribbon of stretches. */

import { moment } from "../fleet/words.ts";
import type { Span } from "./presence.ts";

interface Props {
  spans: Span<string>[];
  label: string;
  /** The class and the words of a state; undefined where nobody knows. */
  kind: (state: string | undefined) => string;
  say: (state: string | undefined) => string;
  /** The words stand in the stretches that have room for them. */
  written?: boolean;
}

const ROOM = 0.06;

export function Ribbon({ spans, label, kind, say, written = false }: Props) {
  const from = spans[0]?.from ?? 0;
  const all = (spans.at(-1)?.to ?? 1) - from;
  const newest = spans.at(-1);
  const told = spans.map(span => `${say(span.state)} from ${moment(span.from)}`).slice(-6);
  return (
    <div
      class={written ? "ribbon written" : "ribbon"}
      role="img"
      aria-label={`${label}: ${told.join(", ")}${newest ? " until now" : ""}.`}
    >
      {spans.map(span => {
        const share = (span.to - span.from) / all;
        return (
          <i
            key={span.from}
            class={kind(span.state)}
            title={`${say(span.state)}, ${moment(span.from)} to ${span === newest ? "now" : moment(span.to)}`}
            style={{ left: `${((span.from - from) / all) * 100}%`, width: `${share * 100}%` }}
          >
            {written && share > ROOM && span.state !== undefined && say(span.state)}
          </i>
        );
      })}
    </div>
  );
}
