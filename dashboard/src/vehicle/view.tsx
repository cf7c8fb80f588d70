/** All of one vehicle: its charts, signals and presence, and a way to command it. */

import "./vehicle.css";

import { type ReadonlySignal, useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { age, moment } from "../fleet/words.ts";
import type { Session } from "../session.ts";
import { Charts } from "./charts.tsx";
import { CommandForm } from "./command.tsx";
import { follow, nodeNow, type Progress } from "./follow.ts";
import { Presence } from "./presence.tsx";
import { State } from "./state.tsx";
import { CONNECTION_NAMES, connectionNow } from "./status.ts";
import { Trail } from "./trail.ts";

const SPAN_MS = 15 * 60_000;

interface Props {
  session: Session;
  /** `fleets/berlin/v42` */
  topic: string;
}

export function VehicleView({ session, topic }: Props) {
  const client = session.client.value;
  const trail = useRef(new Trail(SPAN_MS)).current;
  const status = useRef(new Trail(Number.POSITIVE_INFINITY)).current; // a log of statuses is short
  const now = useSignal(nodeNow(client));
  const second = useSignal(now.peek());
  const progress = useSignal<Progress>({ name: "loading" });
  const statusProgress = useSignal<Progress>({ name: "loading" });

  useEffect(() => {
    const tick = () => {
      now.value = nodeNow(client);
    };
    const stops = [
      follow(client, `${topic}/telemetry`, trail, next => {
        progress.value = next;
        tick();
      }),
      follow(client, `${topic}/status`, status, next => {
        statusProgress.value = next;
        tick();
      }),
    ];
    const timer = setInterval(() => {
      tick();
      trail.forget(now.peek());
      second.value = now.peek();
    }, 1_000);
    return () => {
      clearInterval(timer);
      for (const stop of stops) stop();
    };
  }, [client, topic, trail, status, now, second, progress, statusProgress]);

  const complete = progress.value.name === "complete" && statusProgress.value.name !== "loading";
  const heard = useComputed(() => now.value > 0 && trail.latest.size + status.latest.size > 0);
  return (
    <div class="vehicle">
      <Head topic={topic} status={status} trail={trail} now={now} />
      {progress.value.name === "refused" ? (
        <p class="empty" role="status">
          <strong>The node does not show this vehicle.</strong> It said: {progress.value.why}.
        </p>
      ) : !complete ? (
        <p class="empty" role="status">
          <span class="spinner" aria-hidden="true" /> Reading the last 15 minutes…
        </p>
      ) : !heard.value ? (
        <div class="empty unheard" role="status">
          <strong>Nothing was ever heard of this vehicle.</strong>
          <p>
            Is its name right? Its readings appear here as soon as the first one comes on{" "}
            <code>{topic}/telemetry</code>.
          </p>
        </div>
      ) : (
        <>
          <Presence status={status} span={SPAN_MS} now={now} />
          <Charts trail={trail} topic={topic} now={now} />
          <div class="below">
            <State trail={trail} second={second} />
            <CommandForm client={client} topic={topic} />
          </div>
        </>
      )}
    </div>
  );
}

interface HeadProps {
  topic: string;
  status: Trail;
  trail: Trail;
  now: ReadonlySignal<number>;
}

function Head({ topic, status, trail, now }: HeadProps) {
  const [, fleet = "", name = ""] = topic.split("/");
  const connection = useComputed(() => {
    now.value;
    const { kind, since } = connectionNow(status);
    return `${kind} ${since ?? ""}`;
  });
  const [kind = "unknown", since] = connection.value.split(" ") as [keyof typeof CONNECTION_NAMES, string];
  return (
    <header class="vehicle-head">
      <h2>{name}</h2>
      <span class="muted">{fleet}</span>
      <span class={`state ${kind}`} title={since && `since ${moment(Number(since))}`}>
        <i class={`dot ${kind}`} aria-hidden="true" />
        {CONNECTION_NAMES[kind]}
        {since && <span class="muted since"> since {moment(Number(since))}</span>}
      </span>
      <Heard trail={trail} now={now} />
    </header>
  );
}

/** How long ago the last reading was. */
function Heard({ trail, now }: Pick<HeadProps, "trail" | "now">) {
  const newest = Math.max(...[...trail.latest.values()].map(({ ts }) => ts ?? 0));
  const text = newest > 0 ? `last reading ${age(now.value - newest)} ago` : "no reading yet";
  return (
    <span class="heard muted" title="By the vehicle's own clock">
      {text}
    </span>
  );
}
