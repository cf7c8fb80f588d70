/** The line through time, and the hand on it. */

import { useRef } from "preact/hooks";
import { moment } from "../fleet/words.ts";
import { narrow } from "../ui/media.ts";
import { fractionOf, keyed, momentAt, type Reach, ticks } from "./timebar.ts";

const HOUR_MINUTE = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const TICKS = 7;
const FEW_TICKS = 3; // on a phone
const EDGE = 0.03; // of the line: no room for the time of a tick there

interface Props {
  live: boolean;
  /** The hand is held. */
  held: boolean;
  /** What is said of where the page is. */
  label: string;
  /** Epoch ms. */
  position: number;
  reach: Reach;
  /** The hand is being moved, and it was let go there; epoch ms. */
  hold: (moment: number) => void;
  release: (moment: number) => void;
}

export function Track({ live, held, label, position, reach, hold, release }: Props) {
  const line = useRef<HTMLDivElement>(null);
  const reached = live ? 1 : fractionOf(position, reach);
  const at = (event: PointerEvent) => {
    const { left, width } = (line.current as HTMLDivElement).getBoundingClientRect();
    return momentAt((event.clientX - left) / width, reach);
  };
  const dragged = (event: PointerEvent) => (event.currentTarget as HTMLElement).hasPointerCapture(event.pointerId);
  return (
    <div
      class={live ? "track live" : "track past"}
      role="slider"
      tabIndex={0}
      aria-label="Moment that is shown"
      aria-valuemin={-Math.round((reach.to - reach.from) / 1_000)}
      aria-valuemax={0}
      aria-valuenow={live ? 0 : Math.round((position - reach.to) / 1_000)}
      aria-valuetext={live ? "live" : moment(position, reach.to)}
      onKeyDown={event => {
        const target = keyed(event.key, position, reach);
        if (target === undefined) return;
        event.preventDefault();
        hold(target);
      }}
      onKeyUp={() => {
        if (held) release(position);
      }}
      onBlur={() => {
        if (held) release(position);
      }}
      onPointerDown={event => {
        event.currentTarget.setPointerCapture(event.pointerId);
        hold(at(event));
      }}
      onPointerMove={event => {
        if (dragged(event)) hold(at(event));
      }}
      onPointerUp={event => {
        if (dragged(event)) release(at(event));
      }}
    >
      <span class="label">
        <i aria-hidden="true" />
        {label}
      </span>
      <div class="line" ref={line}>
        <div class="passed" style={{ width: `${reached * 100}%` }} />
        <div class="hand" style={{ left: `${reached * 100}%` }} />
      </div>
      <div class="ticks" aria-hidden="true">
        {ticks(reach, narrow.value ? FEW_TICKS : TICKS)
          .map(tick => ({ tick, fraction: fractionOf(tick, reach) }))
          .filter(({ fraction }) => fraction > EDGE && fraction < 1 - EDGE)
          .map(({ tick, fraction }) => (
            <span key={tick} style={{ left: `${fraction * 100}%` }}>
              {HOUR_MINUTE.format(tick)}
            </span>
          ))}
      </div>
    </div>
  );
}
