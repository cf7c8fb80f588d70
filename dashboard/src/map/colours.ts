/** What colours mean on the map: of statuses, and of numbers. */

import { STATUSES } from "../fleet/vehicles.ts";

export type Rgb = [red: number, green: number, blue: number];

/** Of each status, in the order of STATUSES. Told apart by the colour-blind, and hollow where it is not online. */
const LIGHT_STATUSES: Rgb[] = [rgb("#0a8f6f"), rgb("#6b7785"), rgb("#c2410c"), rgb("#5b7fa8")];
const DARK_STATUSES: Rgb[] = [rgb("#2fc9a3"), rgb("#8b98a6"), rgb("#ff9a5c"), rgb("#86abd6")];

/** From low to high, growing lighter in even steps (after viridis): it reads the same without a sense of colour. */
const SCALE: Rgb[] = ["#3b1c59", "#3f4889", "#2f6c8e", "#21918c", "#2fb47c", "#7ad151", "#c9dd2b", "#fde725"].map(
  rgb,
);

/** How the layer turns a tint into a colour: `colours` spread evenly from `low` to `high`. */
export interface Scale {
  colours: Rgb[];
  low: number;
  high: number;
  /** Steps between kinds, drawn hollow but for the first; else a continuum. */
  kinds: boolean;
}

export function statusScale(dark: boolean): Scale {
  return { colours: dark ? DARK_STATUSES : LIGHT_STATUSES, low: 0, high: STATUSES.length - 1, kinds: true };
}

/** Of the values that were seen; undefined before any was. */
export function numberScale([low, high]: [number, number] = [0, 1]): Scale {
  return { colours: SCALE, low, high: high > low ? high : low + 1, kinds: false };
}

/** For a legend. */
export function gradient(): string {
  return `linear-gradient(to right, ${SCALE.map(css).join(", ")})`;
}

/** 0 to 1 from #rrggbb. */
export function rgb(hex: string): Rgb {
  const part = (at: number) => Number.parseInt(hex.slice(at, at + 2), 16) / 255;
  return [part(1), part(3), part(5)];
}

function css(colour: Rgb): string {
  return `rgb(${colour.map(part => Math.round(part * 255)).join(" ")})`;
}
