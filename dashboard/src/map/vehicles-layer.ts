/** One layer for all vehicles: a frame is one uniform for the time and one call, however many there are. */

import type { CustomLayerInterface, CustomRenderMethodInput, Map as MapLibre } from "maplibre-gl";
import { type Motion, mercator } from "../fleet/motion.ts";
import type { Rgb, Scale } from "./colours.ts";
import { moved, program, uniforms } from "./gl.ts";
import { framesPerSecond } from "./pace.ts";
import { ROW, Rows } from "./rows.ts";
import { COLOURS, FRAGMENT, VERTEX } from "./shaders.ts";

const UNIFORMS = [
  "matrix",
  "viewport",
  "radius",
  "now",
  "bearing",
  "kinds",
  "range",
  "count",
  "colours",
  "none",
  "rim",
  "halo",
] as const;
const CORNERS = new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]);
const MOVING = "fleetwire:moving"; // a mark (User Timing): the first frame in which something moves
const FLOAT = Float32Array.BYTES_PER_ELEMENT;

/** How vehicles look. Slots of the motion; `speed`: how many times faster than in life they move; 0 for steps. */
export interface Look {
  scale: Scale;
  none: Rgb;
  rim: Rgb;
  halo: Rgb;
  chosen: number | undefined;
  hovered: number | undefined;
  speed: number;
}

interface Resources {
  program: WebGLProgram;
  at: Record<(typeof UNIFORMS)[number], WebGLUniformLocation | null>;
  array: WebGLVertexArrayObject;
  corners: WebGLBuffer;
  rows: WebGLBuffer;
}

export class VehiclesLayer implements CustomLayerInterface {
  readonly id = "vehicles";
  readonly type = "custom";
  readonly #motion: Motion;
  readonly #rows: Rows;
  #look: Look;
  #map: MapLibre | undefined;
  #gl: Resources | undefined;
  #room = 0; // floats that the buffer on the card has
  #next: ReturnType<typeof setTimeout> | undefined;
  #moves = false; // something has moved already

  constructor(motion: Motion, look: Look) {
    this.#motion = motion;
    this.#rows = new Rows(motion);
    this.#look = look;
  }

  get look(): Look {
    return this.#look;
  }

  set look(look: Look) {
    this.#look = look;
    this.#map?.triggerRepaint();
  }

  onAdd(map: MapLibre, gl: WebGL2RenderingContext): void {
    const made = program(gl, VERTEX, FRAGMENT);
    this.#map = map;
    this.#room = 0;
    this.#gl = {
      program: made,
      at: uniforms(gl, made, UNIFORMS),
      array: gl.createVertexArray(),
      corners: gl.createBuffer(),
      rows: gl.createBuffer(),
    };
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#gl.corners);
    gl.bufferData(gl.ARRAY_BUFFER, CORNERS, gl.STATIC_DRAW);
  }

  onRemove(_map: MapLibre, gl: WebGL2RenderingContext): void {
    clearTimeout(this.#next);
    if (!this.#gl) return;
    gl.deleteProgram(this.#gl.program);
    gl.deleteVertexArray(this.#gl.array);
    gl.deleteBuffer(this.#gl.corners);
    gl.deleteBuffer(this.#gl.rows);
    this.#gl = undefined;
  }

  render(gl: WebGL2RenderingContext, { defaultProjectionData }: CustomRenderMethodInput): void {
    const map = this.#map;
    const own = this.#gl;
    if (!map || !own) return;
    const now = performance.now();
    const { lng, lat } = map.getCenter();
    const scale = 512 * 2 ** map.getZoom();
    gl.bindVertexArray(own.array);
    gl.bindBuffer(gl.ARRAY_BUFFER, own.rows);
    this.#upload(gl, this.#rows.write(mercator(lng, lat), scale, now));
    gl.useProgram(own.program);
    gl.uniformMatrix4fv(own.at.matrix, false, moved(defaultProjectionData.mainMatrix, ...this.#rows.origin));
    this.#describe(gl, own, map, now);
    this.#draw(gl, own, 0, this.#motion.count, 0, 0);
    for (const [slot, halo] of [
      [this.#look.hovered, 0.55],
      [this.#look.chosen, 1],
    ] as const)
      if (slot !== undefined) this.#draw(gl, own, slot, 1, 2, halo);
    gl.bindVertexArray(null);
    this.#schedule(map, now, framesPerSecond(scale, lat, this.#look.speed));
  }

  /** Only what changed, unless there are more than ever before. */
  #upload(gl: WebGL2RenderingContext, range: [from: number, to: number] | undefined): void {
    const { data } = this.#rows;
    if (data.length > this.#room) {
      gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW);
      this.#room = data.length;
    } else if (range) {
      const [from, to] = range;
      gl.bufferSubData(gl.ARRAY_BUFFER, from * ROW * FLOAT, data, from * ROW, (to - from) * ROW);
    }
  }

  #describe(gl: WebGL2RenderingContext, { at }: Resources, map: MapLibre, now: number): void {
    const { scale, none, rim, speed } = this.#look;
    const seconds = speed > 0 ? (now - this.#rows.epoch) / 1_000 : 1e9;
    gl.uniform1f(at.now, seconds);
    gl.uniform1f(at.bearing, map.getBearing());
    gl.uniform2f(at.viewport, gl.drawingBufferWidth, gl.drawingBufferHeight);
    gl.uniform1i(at.kinds, scale.kinds ? 1 : 0);
    gl.uniform2f(at.range, scale.low, scale.high);
    gl.uniform1i(at.count, Math.min(COLOURS, scale.colours.length));
    gl.uniform3fv(at.colours, scale.colours.slice(0, COLOURS).flat());
    gl.uniform3fv(at.none, none);
    gl.uniform3fv(at.rim, rim);
  }

  /** `grow`: px that are added to the radius. */
  #draw(gl: WebGL2RenderingContext, own: Resources, slot: number, count: number, grow: number, halo: number): void {
    const density = gl.drawingBufferWidth / (this.#map as MapLibre).getCanvas().clientWidth;
    const radius = radiusOf((this.#map as MapLibre).getZoom());
    gl.uniform2f(own.at.radius, radius * density, grow * density);
    gl.uniform4f(own.at.halo, ...this.#look.halo, halo);
    this.#attributes(gl, own, slot);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, count);
  }

  #attributes(gl: WebGL2RenderingContext, own: Resources, slot: number): void {
    const attribute = (name: string, size: number, stride: number, offset: number, divisor: number) => {
      const location = gl.getAttribLocation(own.program, name);
      gl.enableVertexAttribArray(location);
      gl.vertexAttribPointer(location, size, gl.FLOAT, false, stride * FLOAT, offset * FLOAT);
      gl.vertexAttribDivisor(location, divisor);
    };
    gl.bindBuffer(gl.ARRAY_BUFFER, own.corners);
    attribute("corner", 2, 2, 0, 0);
    gl.bindBuffer(gl.ARRAY_BUFFER, own.rows);
    attribute("way", 4, ROW, slot * ROW, 1);
    attribute("course", 4, ROW, slot * ROW + 4, 1);
    attribute("look", 2, ROW, slot * ROW + 8, 1);
  }

  /** Another frame while anything moves, and no sooner than it is worth it. */
  #schedule(map: MapLibre, now: number, rate: number): void {
    clearTimeout(this.#next);
    if (now >= this.#motion.stillAt || this.#look.speed === 0) return;
    if (!this.#moves) performance.mark(MOVING);
    this.#moves = true;
    this.#next = setTimeout(() => map.triggerRepaint(), 1_000 / rate);
  }
}

/** Of a vehicle, in px. */
export function radiusOf(zoom: number): number {
  return Math.max(4, Math.min(7.5, 4 + (zoom - 9) * 0.5));
}
