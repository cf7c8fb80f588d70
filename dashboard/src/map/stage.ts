/** The map itself: MapLibre with our style, our layer, and what the pointer does on it. */

import {
  GPUInitializationError,
  type LngLatBounds,
  Map as MapLibre,
  NavigationControl,
  setWorkerUrl,
} from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url";
import "maplibre-gl/dist/maplibre-gl.css";
import { type Motion, mercator } from "../fleet/motion.ts";
import type { Box } from "../fleet/vehicles.ts";
import type { Viewport } from "../fleet/viewport.ts";
import { pick } from "./pick.ts";
import { fill, ownStyle, recolour } from "./style.ts";
import { type Look, radiusOf, VehiclesLayer } from "./vehicles-layer.ts";

setWorkerUrl(workerUrl);

/** Thrown by a new stage where there is no WebGL2. */
export const NoWebGL = GPUInitializationError;

const FIT = { padding: 48, maxZoom: 15 };
const REACH_PX = 8; // around a vehicle, where it is still meant

export interface Handlers {
  /** What is seen of the map, after each move. */
  seen(viewport: Viewport): void;
  /** The slot under the pointer, and where that is in px of the map. */
  pointed(slot: number | undefined, x: number, y: number): void;
  chose(slot: number): void;
}

export interface Setting {
  motion: Motion;
  look: Look;
  dark: boolean;
  /** Address of a MapLibre style, instead of our own. */
  style: string | undefined;
  /** What to show first; the world without it. */
  bounds: Box | undefined;
}

export class Stage {
  readonly #map: MapLibre;
  readonly #layer: VehiclesLayer;
  readonly #motion: Motion;
  readonly #own: boolean;

  constructor(box: HTMLElement, { motion, look, dark, style, bounds }: Setting, on: Handlers) {
    this.#motion = motion;
    this.#own = style === undefined;
    this.#layer = new VehiclesLayer(motion, look);
    const map = new MapLibre({
      container: box,
      style: style ?? ownStyle(dark),
      ...(bounds ? { bounds, fitBoundsOptions: FIT } : { center: [10, 35], zoom: 1.4 }),
      maxPitch: 0,
      dragRotate: false,
      touchPitch: false,
      pitchWithRotate: false,
      fadeDuration: 0,
      attributionControl: this.#own ? false : { compact: true },
    });
    this.#map = map;
    map.touchZoomRotate.disableRotation();
    map.keyboard.disableRotation();
    map.addControl(new NavigationControl({ showCompass: false }), "top-right");
    map.getCanvas().setAttribute("aria-label", "Map of the vehicles; the list beside it has the same vehicles");
    // Also after the card was lost: the style then comes back without layers of others.
    map.on("style.load", () => {
      if (!map.getLayer(this.#layer.id)) map.addLayer(this.#layer);
    });
    map.once("style.load", () => {
      // Without land and streets the vehicles are still where they are.
      if (this.#own) fill(map).catch(error => console.warn("The map has no background:", error));
    });
    map.on("moveend", () => on.seen({ box: boxOf(map.getBounds()), zoom: map.getZoom() }));
    map.on("mousemove", ({ point }) => this.#point(point.x, point.y, on));
    map.on("mouseout", () => on.pointed(undefined, 0, 0));
    map.on("click", ({ point }) => {
      const slot = this.#under(point.x, point.y);
      if (slot !== undefined) on.chose(slot);
    });
  }

  set look(look: Look) {
    this.#layer.look = look;
  }

  set dark(dark: boolean) {
    if (this.#own && this.#map.isStyleLoaded()) recolour(this.#map, dark);
  }

  /** There is something new to draw. */
  draw(): void {
    this.#map.triggerRepaint();
  }

  /** Show a box; at once, or by a flight where motion is welcome. */
  fit([west, south, east, north]: Box, animate: boolean): void {
    this.#map.fitBounds([west, south, east, north], { ...FIT, animate, duration: 700 });
  }

  /** Bring a vehicle into view, near enough to see it drive. */
  follow(slot: number): void {
    const [x, y] = this.#motion.at(slot, performance.now());
    const latitude = (Math.atan(Math.sinh(Math.PI * (1 - 2 * y))) * 180) / Math.PI;
    const zoom = Math.max(this.#map.getZoom(), 14);
    this.#map.easeTo({ center: [(x - 0.5) * 360, latitude], zoom, duration: 500 });
  }

  resize(): void {
    this.#map.resize();
  }

  remove(): void {
    this.#map.remove();
  }

  #point(x: number, y: number, on: Handlers): void {
    const slot = this.#under(x, y);
    this.#map.getCanvas().style.cursor = slot === undefined ? "" : "pointer";
    on.pointed(slot, x, y);
  }

  #under(x: number, y: number): number | undefined {
    const { lng, lat } = this.#map.unproject([x, y]);
    const zoom = this.#map.getZoom();
    const radius = (radiusOf(zoom) + REACH_PX) / (512 * 2 ** zoom);
    return pick(this.#motion, ...mercator(lng, lat), radius, performance.now());
  }
}

function boxOf(bounds: LngLatBounds): Box {
  return [bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth()];
}
