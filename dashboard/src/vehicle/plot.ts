/** How a signal is drawn over time. */

import uPlot from "uplot";
import { roomy, stepped } from "./figures.ts";
import type { Hole } from "./trail.ts";

const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

const DIGIT_PX = 6.8; // of the scales
const HALF_TIME_PX = 12; // what of a time at the right end has no room in the padding
const NEAR_PX = 24; // farther from it the cursor tells of no reading

/** Colours of a plot, as the canvas takes them. */
interface Ink {
  line: string;
  fill: string;
  grid: string;
  text: string;
  trimmed: string;
  lost: string;
}

export interface Canvas {
  element: HTMLElement;
  /** Plots of one group share their cursor. */
  group: string;
  /** What time there is, epoch ms. */
  window: () => [from: number, to: number];
  holes: () => Hole[];
  /** The cursor is at this place of the columns, or nowhere. */
  pointed: (index: number | undefined) => void;
}

export function plot(data: uPlot.AlignedData, { element, group, window, holes, pointed }: Canvas): uPlot {
  const ink = inkOf(element);
  let widest = 50; // of the scale: it does not grow narrower again
  const axis = { stroke: ink.text, font: `11px ${getComputedStyle(element).fontFamily}`, ticks: { show: false } };
  const grid = { stroke: ink.grid, width: 1 };
  return new uPlot(
    {
      width: element.clientWidth,
      height: element.clientHeight,
      ms: 1,
      padding: [6, 8, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: false, y: false },
        points: { size: 7 },
        hover: { prox: NEAR_PX },
        sync: { key: group },
      },
      scales: { x: { time: true, range: window }, y: { range: (_, low, high) => roomy(low, high) } },
      axes: [
        {
          ...axis,
          grid,
          size: 22,
          gap: 4,
          space: 64,
          values: (u, at) => at.map(ms => (fits(u, ms) ? TIME.format(ms) : "")),
        },
        {
          ...axis,
          grid,
          gap: 6,
          space: 26,
          size: (_, texts) => {
            widest = Math.max(widest, ...(texts ?? []).map(text => 14 + text.length * DIGIT_PX));
            return widest;
          },
          values: (_, at, __, ___, step) => at.map(value => stepped(value, step)),
        },
      ],
      series: [{}, { stroke: ink.line, fill: ink.fill, width: 1.5, points: { size: 4, fill: ink.line } }],
      hooks: {
        drawAxes: [u => drawHoles(u, holes(), ink)],
        setCursor: [u => pointed(u.cursor.idxs?.[1] ?? undefined)],
      },
    },
    data,
    element,
  );
}

/** Whether there is room for a time at that place of the x axis. */
function fits(u: uPlot, ms: number): boolean {
  return u.valToPos(ms, "x") < u.over.clientWidth - HALF_TIME_PX;
}

function drawHoles(u: uPlot, holes: readonly Hole[], ink: Ink): void {
  const { left, top, width, height } = u.bbox;
  for (const { from, to, why } of holes) {
    const start = Math.max(left, u.valToPos(from, "x", true));
    const end = Math.min(left + width, u.valToPos(to, "x", true));
    if (end <= start) continue;
    u.ctx.fillStyle = ink[why];
    u.ctx.fillRect(start, top, Math.max(2, end - start), height);
  }
}

function inkOf(element: HTMLElement): Ink {
  const of = (property: string) => {
    element.style.color = `var(${property})`;
    const { color } = getComputedStyle(element);
    element.style.removeProperty("color");
    return color;
  };
  return {
    line: of("--series-1"),
    fill: of("--accent-soft"),
    grid: of("--line"),
    text: of("--text-2"),
    trimmed: of("--surface-2"),
    lost: of("--warn-soft"),
  };
}
