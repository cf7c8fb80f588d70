/** The map of the fleet, with its legend and what is said of the vehicle under the pointer. */

import "./map.css";

import { effect, signal, useComputed } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { chosen as choice, colouring, hovered } from "../fleet/choice.ts";
import type { Feed } from "../fleet/feed.ts";
import { STATUSES, type Vehicle } from "../fleet/vehicles.ts";
import { number, STATUS_NAMES, say, shortName, unitOf } from "../fleet/words.ts";
import { dark, still } from "../ui/media.ts";
import { open, vehicleShown } from "../ui/route.ts";
import { gradient, numberScale, rgb, statusScale } from "./colours.ts";
import type { Stage } from "./stage.ts";
import type { Look } from "./vehicles-layer.ts";

const tip = signal<{ vehicle: Vehicle; x: number; y: number } | undefined>(undefined);
/** Whether a map can be drawn: false without WebGL2. */
const drawable = signal(true);

const PATIENCE_MS = 500;

/** The map's own code, which is larger than all the rest: it comes while the page is laid out. */
const loading = import("./stage.ts");

interface Props {
  feed: Feed;
  /** Address of a MapLibre style to take instead of our own. */
  style: string | undefined;
}

export function FleetMap({ feed, style }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const stage = useRef<Stage | undefined>(undefined);
  // Not after the first paint: where software draws, that takes a second.
  useLayoutEffect(() => {
    const container = box.current as HTMLDivElement;
    let stop: (() => void) | undefined;
    let gone = false;
    void Promise.all([loading, known(feed)]).then(([{ Stage, NoWebGL }]) => {
      if (gone) return;
      const { motion } = feed.vehicles;
      const setting = { motion, look: lookOf(feed), dark: dark.peek(), style, bounds: feed.vehicles.bounds() };
      try {
        // To ask beforehand whether it can be drawn takes a second where software draws.
        stage.current = new Stage(container, setting, handlers(feed));
      } catch (error) {
        if (!(error instanceof NoWebGL)) throw error;
        drawable.value = false;
        return feed.look(undefined);
      }
      stop = attend(stage.current, feed, container);
    });
    return () => {
      gone = true;
      stop?.();
    };
  }, [feed, style]);
  const fit = () => {
    const bounds = feed.vehicles.bounds();
    if (bounds) stage.current?.fit(bounds, !still.value);
  };
  return (
    <div class="map-frame">
      <div ref={box} class="map" />
      {drawable.value ? (
        <>
          <button type="button" class="button fit" onClick={fit} title="Show the whole fleet">
            <span aria-hidden="true">⤢</span> <span>Whole fleet</span>
          </button>
          <Legend feed={feed} />
          <Tip />
        </>
      ) : (
        <div class="notice in-map" role="alert">
          <h2>No map: this browser has no WebGL2</h2>
          <p>
            Everything else works: the list has all vehicles. A map needs hardware acceleration, or another browser.
          </p>
        </div>
      )}
    </div>
  );
}

/**
 * Until it is known who there is, or that takes long: a map blocks the page for a second where software draws, and what
 * is asked for before comes meanwhile.
 */
async function known(feed: Feed): Promise<void> {
  await new Promise<void>(resolve => {
    const stop = effect(() => {
      if (feed.ready.value) resolve();
    });
    setTimeout(() => {
      stop();
      resolve();
    }, PATIENCE_MS);
  });
  await new Promise(resolve => setTimeout(resolve)); // the feed asks for what follows first
}

/** The stage follows the feed and the choices. Returns how to stop it. */
function attend(stage: Stage, feed: Feed, container: HTMLElement): () => void {
  const resized = new ResizeObserver(() => stage.resize());
  resized.observe(container);
  let followed: string | undefined;
  const effects = [
    effect(() => {
      feed.frame.value;
      stage.draw();
    }),
    effect(() => {
      stage.look = lookOf(feed);
    }),
    effect(() => {
      stage.dark = dark.value;
    }),
    effect(() => {
      if (!feed.ready.value || !feed.located.value) return;
      const bounds = feed.vehicles.bounds();
      if (bounds) stage.fit(bounds, false);
    }),
    effect(() => {
      feed.beat.value; // it may be known later than it is asked for
      if (!feed.ready.value || vehicleShown.value === followed) return;
      const vehicle = feed.vehicles.byTopic.get(vehicleShown.value ?? "");
      if (vehicle?.placed) stage.follow(vehicle.slot);
      if (vehicle?.placed || !vehicleShown.value) followed = vehicleShown.value;
    }),
    effect(() => {
      feed.show(colouring.value ? [colouring.value] : []);
      feed.vehicles.colourBy(colouring.value);
    }),
    effect(() => {
      feed.vehicles.stress(choice.value);
      stage.draw();
    }),
  ];
  return () => {
    for (const stop of effects) stop();
    resized.disconnect();
    stage.remove();
  };
}

function handlers(feed: Feed) {
  const at = (slot: number) => {
    for (const vehicle of feed.vehicles.byTopic.values()) if (vehicle.slot === slot) return vehicle;
    return undefined;
  };
  return {
    seen: feed.look.bind(feed),
    pointed(slot: number | undefined, x: number, y: number) {
      const vehicle = slot === undefined ? undefined : at(slot);
      hovered.value = vehicle?.topic;
      tip.value = vehicle && { vehicle, x, y };
    },
    chose(slot: number) {
      const vehicle = at(slot);
      if (vehicle) open(vehicle.topic);
    },
  };
}

/** Reads signals: what the layer is to look like now. */
function lookOf(feed: Feed): Look {
  feed.beat.value;
  const slot = (topic: string | undefined) => feed.vehicles.byTopic.get(topic ?? "")?.slot;
  const mode = feed.mode.value;
  return {
    scale: colouring.value ? numberScale(feed.vehicles.range) : statusScale(dark.value),
    none: rgb(dark.value ? "#5a6775" : "#a3acb7"),
    rim: rgb(dark.value ? "#0b1117" : "#ffffff"),
    halo: rgb(dark.value ? "#8cc4ff" : "#0b62c4"),
    chosen: slot(vehicleShown.value),
    hovered: slot(hovered.value),
    speed: still.value ? 0 : mode.kind === "replaying" ? mode.speed : 1,
  };
}

function Tip() {
  const shown = tip.value;
  if (!shown) return null;
  const { vehicle, x, y } = shown;
  const signal = colouring.value ?? "Speed";
  return (
    <div class="tip" style={{ transform: `translate(${x}px, ${y}px)` }} aria-hidden="true">
      <strong>{vehicle.name}</strong>
      <span>{STATUS_NAMES[vehicle.status]}</span>
      <span>
        {say(vehicle.values[signal])} {unitOf(signal)}
      </span>
    </div>
  );
}

/** What the colours mean, and what else they might. */
function Legend({ feed }: { feed: Feed }) {
  const range = useComputed(() => {
    feed.beat.value;
    return feed.vehicles.range;
  });
  const signal = colouring.value;
  return (
    <div class="legend">
      <label>
        <span>Colour by</span>
        <select
          class="field"
          value={signal ?? ""}
          onChange={event => {
            colouring.value = event.currentTarget.value || undefined;
          }}
        >
          <option value="">status</option>
          {feed.signals.value.map(name => (
            <option key={name} value={name} title={name}>
              {shortName(name)}
            </option>
          ))}
        </select>
      </label>
      {signal ? (
        <div class="scale">
          <span class="ramp" style={{ background: gradient() }} />
          <span>{range.value ? number(range.value[0]) : "–"}</span>
          <span>
            {range.value ? number(range.value[1]) : "–"} {unitOf(signal)}
          </span>
        </div>
      ) : (
        <ul class="kinds">
          {STATUSES.map(status => (
            <li key={status}>
              <i class={`dot ${status}`} /> {STATUS_NAMES[status]}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
