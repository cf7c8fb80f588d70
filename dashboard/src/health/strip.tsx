/** How all of it is doing, at a glance. */

import "./health.css";

import type { Client, State } from "@fleetwire/client";
import { effect, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Feed } from "../fleet/feed.ts";
import type { Session } from "../session.ts";
import { type Hops, hopText } from "./hops.ts";
import { Rate } from "./rate.ts";
import { Sampler } from "./sampler.ts";

const RATE_MS = 5_000;

interface Props {
  session: Session;
  feed: Feed;
}

/** What the strip shows, renewed once a second. */
interface Reading {
  node: string | undefined;
  pingMs: number;
  hops: Hops;
  looked: number;
  readings: number;
  kilobytes: number;
  conflated: number;
  gaps: number;
  reconnects: number;
}

export function HealthStrip({ session, feed }: Props) {
  const client = session.client.value;
  const reading = useSignal<Reading | undefined>(undefined);
  useEffect(() => {
    const sampler = new Sampler(client);
    const readings = new Rate(RATE_MS);
    const bytes = new Rate(RATE_MS);
    let received = 0;
    const stop = effect(() => {
      feed.second.value;
      received += feed.readings.peek();
      readings.see(received, performance.now());
      bytes.see(client.stats.bytes, performance.now());
      sampler.watch(seen(feed));
      reading.value = read(client, sampler, readings, bytes);
    });
    return () => {
      stop();
      sampler.stop();
    };
  }, [client, feed, reading]);
  return (
    <div class="strip">
      <Connection state={session.state.value} />
      {reading.value && <Figures {...reading.value} />}
    </div>
  );
}

/** Vehicles that the map shows, and that have something to say. */
function* seen(feed: Feed): Iterable<string> {
  for (const { inView, status, topic } of feed.vehicles.byTopic.values()) {
    if (inView && status !== "offline" && status !== "broken") yield topic;
  }
}

function read({ stats }: Client, { sample }: Sampler, readings: Rate, bytes: Rate): Reading {
  return {
    node: stats.node,
    pingMs: stats.lastLatencyMs,
    hops: sample.medians(),
    looked: sample.size,
    readings: readings.perSecond,
    kilobytes: bytes.perSecond / 1_000,
    conflated: stats.conflated,
    gaps: stats.gaps,
    reconnects: Math.max(0, stats.connects - 1),
  };
}

const STATES: Record<State["name"], [word: string, kind: string]> = {
  live: ["Connected", "ok"],
  connecting: ["Connecting", "warn"],
  waiting: ["Disconnected", "bad"],
  denied: ["Denied", "bad"],
  closed: ["Closed", "bad"],
};

function Connection({ state }: { state: State }) {
  const [word, kind] = STATES[state.name];
  const why = "reason" in state ? state.reason : "";
  return (
    <span class={`connection ${kind}`} role="status" title={why && `${word}: ${why}`}>
      <i aria-hidden="true" />
      {word}
    </span>
  );
}

function Figures({ node, pingMs, hops, looked, readings, kilobytes, conflated, gaps, reconnects }: Reading) {
  return (
    <dl>
      <Figure name="node" em={9} value={node ?? "–"} title="The node that serves this page's stream" room="extra" />
      <Figure name="ping" em={6.5} value={pingMs ? hopText(pingMs) : "–"} title="To the node and back" room="extra" />
      <Way hops={hops} looked={looked} />
      <Figure
        name="readings/s"
        em={8}
        value={whole(readings)}
        title="Readings that the map was told of, a second, over the last 5 s"
      />
      <Figure
        name="kB/s"
        em={6}
        value={kilobytes.toFixed(1)}
        title="All that this page receives, over the last 5 s"
        room="wide"
      />
      <Figure
        name="conflated"
        em={8}
        value={whole(conflated)}
        title="Readings that newer ones overtook before they were due here, since the page was opened: the page shows the newest, and leaves these out on purpose"
        room="wide"
      />
      <Figure
        name="gaps"
        em={4.5}
        value={whole(gaps)}
        kind={gaps ? "bad" : ""}
        title="How often the node said that readings are missing for good: the log no longer had them"
      />
      <Figure
        name="reconnects"
        em={7.5}
        value={whole(reconnects)}
        kind={reconnects ? "warn" : ""}
        title="How often the connection was lost and found again since the page was opened"
        room="wide"
      />
    </dl>
  );
}

interface FigureProps {
  name: string;
  value: string;
  title: string;
  /** The room that it has at least: a usual value and the name. */
  em: number;
  kind?: "warn" | "bad" | "";
  /** Left out where there is little room (`extra`), or less (`wide`). */
  room?: "extra" | "wide" | "";
}

function Figure({ name, value, title, em, kind = "", room = "" }: FigureProps) {
  return (
    <div class={`figure ${room} ${kind}`} title={title} style={{ "--room": `${em}em` }}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

const STOPS = [
  ["bridge", "bridge", "From the device's clock to its arrival at the bridge"],
  ["redis", "Redis", "From the bridge until Redis had stored it"],
  ["node", "node", "From Redis to the node"],
  ["here", "here", "From the node to this page, by the node's clock"],
] as const;

/** A reading's way from a device to here. */
function Way({ hops, looked }: { hops: Hops; looked: number }) {
  const known = STOPS.map(([key]) => hops[key]).filter(ms => ms !== undefined);
  const all = known.length === STOPS.length ? known.reduce((sum, ms) => sum + Math.max(0, ms), 0) : undefined;
  const about = `Medians of ${looked} readings of one vehicle in the last minute.`;
  return (
    <>
      <div class="way wide" title={about}>
        <dt>device</dt>
        {STOPS.map(([key, name, title]) => (
          <dd key={key} title={`${title}. ${about}`}>
            <span aria-hidden="true">→ </span>
            <span class="visually-hidden">to </span>
            {name} <b>{hopText(hops[key])}</b>
          </dd>
        ))}
      </div>
      <Figure name="latency" em={7.5} value={hopText(all)} title={`From the device's clock to this page. ${about}`} />
    </>
  );
}

function whole(value: number): string {
  return Math.round(value).toLocaleString("en");
}
