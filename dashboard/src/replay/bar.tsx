/** A bar through time: where the page is, and how it goes on from there. */

import "./replay.css";

import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import type { Feed } from "../fleet/feed.ts";
import { moment } from "../fleet/words.ts";
import type { Session } from "../session.ts";
import { Pacer } from "./pacer.ts";
import { LONGEST_MS, oldest } from "./reach.ts";
import { type Reach, SPEEDS } from "./timebar.ts";
import { Track } from "./track.tsx";

const TICK_MS = 200; // how often the hand moves
const SEEK_MS = 300; // between two seeks while it is dragged
const LOOK_MS = 60_000; // how often it is asked how far back the log goes
const SHORTEST_MS = 60_000;
const BACK_MS = 2_000; // a pause of the present begins in the past: a replay that has caught up can't be paused
const PRESENT_MS = 1_500; // whoever lets go of the hand this near to the end means the present

interface Props {
  session: Session;
  feed: Feed;
}

export function ReplayBar({ session, feed }: Props) {
  const client = session.client.value;
  const now = useSignal(Date.now());
  const first = useSignal<number | undefined>(undefined);
  const held = useSignal<number | undefined>(undefined); // where the hand is held
  const speed = useSignal(1);
  const mode = feed.mode.value;
  const reach = useComputed<Reach>(() => {
    const longest = now.value - LONGEST_MS;
    return { from: Math.min(now.value - SHORTEST_MS, Math.max(longest, first.value ?? longest)), to: now.value };
  });
  const pacer = useMemo(() => new Pacer<number>(to => seek(feed, to, speed.peek()), SEEK_MS), [feed, speed]);

  useEffect(() => {
    const timer = setInterval(() => {
      now.value = Date.now();
    }, TICK_MS);
    return () => clearInterval(timer);
  }, [now]);

  useEffect(() => {
    const look = async () => {
      const [vehicle] = feed.vehicles.byTopic.keys();
      if (vehicle) first.value = await oldest(client, vehicle).catch(() => first.peek()); // asked again in a minute
    };
    look();
    const timer = setInterval(look, LOOK_MS);
    return () => clearInterval(timer);
  }, [client, feed, first, feed.ready.value]);

  const to = (target: number) => {
    if (target >= now.peek() - PRESENT_MS) {
      pacer.stop();
      quietly(feed.live());
    } else pacer.put(target);
  };
  const stop = async () => {
    if (mode.kind === "live") await feed.seek(now.peek() - BACK_MS);
    await feed.pause();
  };
  const playing = mode.kind === "live" || mode.state === "playing";
  now.value; // the hand moves
  const position = Math.min(held.value ?? feed.now(), now.value);
  return (
    <div class="replay">
      <button
        type="button"
        class="button quiet turn"
        aria-label={playing ? "Pause" : "Play"}
        title={playing ? "Pause" : "Play"}
        onClick={() => quietly(playing ? stop() : feed.play(speed.peek()))}
      >
        <i class={playing ? "pause" : "play"} aria-hidden="true" />
      </button>
      <Track
        live={mode.kind === "live" && held.value === undefined}
        held={held.value !== undefined}
        label={labelOf(mode.kind === "live", playing, position, speed.value, held.value !== undefined)}
        position={position}
        reach={reach.value}
        hold={target => {
          const present = target >= now.peek() - PRESENT_MS;
          held.value = present ? Number.POSITIVE_INFINITY : target; // the present goes on while it is held
          if (!present) pacer.put(target);
        }}
        release={target => {
          held.value = undefined;
          to(target);
        }}
      />
      <label class="speed">
        <span class="visually-hidden">Speed of the replay</span>
        <select
          class="field"
          value={speed.value}
          title="Speed of the replay"
          onChange={event => {
            speed.value = Number(event.currentTarget.value);
            if (mode.kind !== "live" && mode.state === "playing") quietly(feed.play(speed.value));
          }}
        >
          {SPEEDS.map(times => (
            <option key={times} value={times}>
              {times}×
            </option>
          ))}
        </select>
      </label>
      <button
        type="button"
        class="button go-live"
        disabled={mode.kind === "live"}
        onClick={() => {
          pacer.stop();
          quietly(feed.live());
        }}
      >
        Go live
      </button>
    </div>
  );
}

/** A replay begins at once its speed: a new one, out of the present, is as fast as time. */
function seek(feed: Feed, to: number, speed: number): void {
  const begins = feed.mode.peek().kind === "live";
  quietly(feed.seek(to).then(() => (begins && speed > 1 ? feed.play(speed) : undefined)));
}

/** What fails here fails with the connection, of which the page speaks elsewhere. */
function quietly(done: Promise<void>): void {
  done.catch(() => {});
}

function labelOf(live: boolean, playing: boolean, position: number, speed: number, held: boolean): string {
  if (held) return moment(position);
  if (live) return "Live";
  return playing ? `Replaying ${moment(position)} · ${speed}×` : `Paused at ${moment(position)}`;
}
