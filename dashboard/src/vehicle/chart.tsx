/** One signal over the last minutes. */

import "uplot/dist/uPlot.min.css";

import { effect, type ReadonlySignal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { moment, shortName, unitOf } from "../fleet/words.ts";
import { dark } from "../ui/media.ts";
import { exact } from "./figures.ts";
import { Frames } from "./frames.ts";
import { plot } from "./plot.ts";
import type { Trail } from "./trail.ts";

const DECIMALS = 2;

interface Props {
  trail: Trail;
  signal: string;
  group: string;
  /** The moment up to which is drawn, epoch ms; changes with the trail, and once a second. */
  now: ReadonlySignal<number>;
}

export function Chart({ trail, signal, group, now }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const pointed = useSignal<number | undefined>(undefined);
  const unit = unitOf(signal);
  const inDark = dark.value;

  useEffect(() => {
    const element = box.current as HTMLDivElement;
    const window = (): [number, number] => [now.peek() - trail.span, now.peek()];
    const holes = () => trail.holes(now.peek());
    const data = (): [number[], (number | null)[]] => {
      const { x, y } = trail.columns(signal, now.peek());
      element.dataset.readings = String(y.filter(value => value !== null).length); // a canvas says nothing to tests
      return [x, y];
    };
    const drawn = plot(data(), {
      element,
      group,
      window,
      holes,
      pointed: index => {
        pointed.value = index;
      },
    });
    const frames = new Frames(element, () => drawn.setData(data()));
    const sized = new ResizeObserver(() => {
      drawn.setSize({ width: element.clientWidth, height: element.clientHeight });
    });
    sized.observe(element);
    const stop = effect(() => {
      now.value;
      frames.ask();
    });
    return () => {
      stop();
      sized.disconnect();
      frames.stop();
      drawn.destroy();
    };
  }, [trail, signal, group, inDark]);

  return (
    <figure class="chart">
      <figcaption title={signal}>
        <span>{shortName(signal)}</span>
        <Figure trail={trail} signal={signal} now={now} pointed={pointed} unit={unit} />
      </figcaption>
      <div
        ref={box}
        class="plot"
        role="img"
        aria-label={`${shortName(signal)}${unit && ` in ${unit}`} over the last 15 minutes`}
      />
    </figure>
  );
}

interface FigureProps extends Pick<Props, "trail" | "signal" | "now"> {
  pointed: ReadonlySignal<number | undefined>;
  unit: string;
}

/** The newest value; while the cursor is over a chart, the one that it is at. */
function Figure({ trail, signal, now, pointed, unit }: FigureProps) {
  const { x, y } = trail.columns(signal, now.value);
  const at = pointed.value;
  const value = at === undefined ? y.at(-1) : y[at];
  const when = at === undefined ? undefined : x[at];
  return (
    <span class="figure">
      {when !== undefined && <time>{moment(when, now.peek())}</time>}
      <strong>{typeof value === "number" ? exact(value, DECIMALS) : "–"}</strong> {unit}
    </span>
  );
}
