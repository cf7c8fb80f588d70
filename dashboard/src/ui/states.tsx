/** What the page says when it is not simply live: connecting, disconnected, denied, empty. */

import "./states.css";

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Feed } from "../fleet/feed.ts";
import { moment } from "../fleet/words.ts";
import type { Session } from "../session.ts";

interface Props {
  session: Session;
  feed: Feed;
}

/** Over the map, in the room that it has: nothing moves when it comes and goes. */
export function States({ session, feed }: Props) {
  const state = session.state.value;
  const refusal = feed.refusal.value;
  if (state.name === "denied") return <Denied session={session} why={state.description} />;
  if (state.name === "closed") return <Denied session={session} why={state.reason} />;
  if (refusal)
    return refusal.number === 400 ? (
      <Refused feed={feed} why={refusal.description} />
    ) : (
      <Denied session={session} why={refusal.description} />
    );
  if (session.lastLive.value === undefined)
    return state.name === "waiting" ? <Disconnected session={session} until={state.until} /> : <Connecting />;
  if (state.name === "waiting") return <Disconnected session={session} until={state.until} />;
  if (state.name === "connecting") return <Disconnected session={session} until={undefined} />;
  if (feed.ready.value) return <Empty feed={feed} />;
  return null;
}

function Connecting() {
  return (
    <div class="banner" role="status">
      <span class="spinner" aria-hidden="true" /> Connecting to the node…
    </div>
  );
}

function Disconnected({ session, until }: { session: Session; until: number | undefined }) {
  const now = useSignal(Date.now());
  useEffect(() => {
    const timer = setInterval(() => {
      now.value = Date.now();
    }, 500);
    return () => clearInterval(timer);
  }, [now]);
  const seconds = until === undefined ? 0 : Math.ceil((until - now.value) / 1_000);
  const since = session.lastLive.value;
  return (
    <div class="banner bad">
      <strong role="status">{since === undefined ? "No connection to the node." : "Disconnected."}</strong>
      <span>{seconds > 0 ? `Trying again in ${seconds} s.` : "Trying again now…"}</span>
      {since !== undefined && <span class="muted">What you see is as of {moment(since, now.value)}.</span>}
    </div>
  );
}

/** Asks for a token. `why`: what the node said. */
function Denied({ session, why }: { session: Session; why: string }) {
  const token = useSignal("");
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (token.value.trim()) session.authorize(token.value.trim());
  };
  return (
    <div class="veil">
      <form class="notice" onSubmit={submit}>
        <h2>The node wants a token</h2>
        <p>It said: {why}</p>
        <label>
          <span>Token (JWT)</span>
          <textarea
            class="field mono"
            rows={4}
            spellcheck={false}
            autocomplete="off"
            value={token.value}
            onInput={event => {
              token.value = event.currentTarget.value;
            }}
          />
        </label>
        <p class="muted small">
          It is kept for this tab only. Whoever runs the node makes one with <code>fleetwire token</code>.
        </p>
        <button type="submit" class="button primary" disabled={!token.value.trim()}>
          Connect
        </button>
      </form>
    </div>
  );
}

/** What the address of the page asks for makes no sense to the node. */
function Refused({ feed, why }: { feed: Feed; why: string }) {
  return (
    <div class="veil">
      <div class="notice" role="alert">
        <h2>The node does not know this filter</h2>
        <p>
          The address asks for <code>{feed.topic}</code>. It said: {why}
        </p>
        <a href="?">Show all fleets</a>
      </div>
    </div>
  );
}

/** No vehicle is known: how to send the first reading. */
function Empty({ feed }: { feed: Feed }) {
  feed.beat.value;
  if (feed.vehicles.members > 0) return null;
  const [, fleet = "+", vehicle = "+"] = feed.topic.split("/");
  const topic = `fleets/${fleet === "+" ? "test" : fleet}/${vehicle === "+" || vehicle === "#" ? "car1" : vehicle}/telemetry`;
  const values = '{"CurrentLocation.Latitude": 52.52, "CurrentLocation.Longitude": 13.40, "Speed": 42}';
  return (
    <div class="veil">
      <div class="notice" role="status">
        <h2>No vehicle yet</h2>
        <p>
          This page shows what comes on <code>{feed.topic}</code>, and nothing has come so far. Send a first reading
          over MQTT:
        </p>
        <pre>{`mosquitto_pub -t ${topic} \\\n  -m '{"values": ${values}}'`}</pre>
        <p class="muted">It appears here as soon as the bridge has it.</p>
      </div>
    </div>
  );
}
