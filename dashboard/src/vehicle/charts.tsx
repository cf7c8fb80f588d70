/** The signals of a vehicle over time: numbers as charts, the others as ribbons. */

import { type ReadonlySignal, useComputed } from "@preact/signals";
import { LATITUDE, LONGITUDE } from "../fleet/vehicles.ts";
import { age, say, shortName } from "../fleet/words.ts";
import { Chart } from "./chart.tsx";
import { spans } from "./presence.ts";
import { Ribbon } from "./ribbon.tsx";
import { skewOf } from "./skew.ts";
import type { Trail } from "./trail.ts";

const ELSEWHERE = [LATITUDE, LONGITUDE]; // they are on the map
const WRONG_MS = 60_000; // of a clock
const RIBBON_COLOURS = 4;
const HOLES: Record<string, string> = {
  trimmed: "The log of this vehicle does not go back farther.",
  lost: "Readings are missing here for good.",
};

interface Props {
  trail: Trail;
  topic: string;
  now: ReadonlySignal<number>;
}

export function Charts({ trail, topic, now }: Props) {
  const names = useComputed(() => {
    now.value;
    return trail
      .numeric()
      .filter(signal => !ELSEWHERE.includes(signal))
      .sort((a, b) => depth(a) - depth(b))
      .join(" ");
  }); // as text, so that this is drawn anew only when others are there
  const texts = useComputed(() => {
    now.value;
    return trail.textual().join(" ");
  });
  const notice = useComputed(() => noticeOf(trail, now.value));
  const holes = useComputed(() => [...new Set(trail.holes(now.value).map(({ why }) => why))].join(" "));
  return (
    <section class="charts-section" aria-label="The last 15 minutes">
      {notice.value && (
        <p class="empty" role="status">
          {notice.value}
        </p>
      )}
      <div class="charts">
        {words(names.value).map(signal => (
          <Chart key={signal} trail={trail} signal={signal} group={topic} now={now} />
        ))}
      </div>
      {words(texts.value).map(signal => (
        <Text key={signal} trail={trail} signal={signal} now={now} />
      ))}
      {words(holes.value).map(why => (
        <p key={why} class="small muted">
          <i class={`hole-mark ${why}`} aria-hidden="true" /> {HOLES[why]}
        </p>
      ))}
    </section>
  );
}

function Text({ trail, signal, now }: { trail: Trail; signal: string; now: ReadonlySignal<number> }) {
  const to = now.value;
  const points = trail.points(signal).map(({ ts, value }) => ({ ts, value: say(value) }));
  const states = [...new Set(points.map(({ value }) => value))].sort();
  const kind = (state: string | undefined) =>
    state === undefined ? "unknown" : `series-${(states.indexOf(state) % RIBBON_COLOURS) + 1}`;
  return (
    <figure class="chart text">
      <figcaption title={signal}>
        <span>{shortName(signal)}</span>
        <strong class="figure">{points.at(-1)?.value ?? "–"}</strong>
      </figcaption>
      <Ribbon
        spans={spans(points, to - trail.span, to)}
        label={shortName(signal)}
        kind={kind}
        say={state => state ?? "Not known"}
        written
      />
    </figure>
  );
}

/** `Speed` comes before what is deep in the car. */
function depth(signal: string): number {
  return signal.split(".").length;
}

function words(text: string): string[] {
  return text ? text.split(" ") : [];
}

/** What there is to say when the charts don't speak for themselves. */
function noticeOf(trail: Trail, now: number): string {
  if (trail.latest.size === 0) return "It has not sent a reading yet.";
  const skew = skewOf(trail.latest.values());
  if (skew !== undefined && Math.abs(skew) > WRONG_MS) {
    const off = age(Math.abs(skew));
    return skew > 0
      ? `By the vehicle's own clock its newest reading is from ${off} in the future: the clock is wrong.`
      : `By the vehicle's own clock its newest reading is ${off} older than its arrival: it came late, or the clock is wrong.`;
  }
  if (trail.size > 0) return "";
  const newest = Math.max(...[...trail.latest.values()].map(({ ts }) => ts ?? 0));
  return `No readings in the last 15 minutes.${newest > 0 ? ` The last one is from ${age(now - newest)} ago.` : ""}`;
}
