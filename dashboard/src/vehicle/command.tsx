/** Tell the vehicle to do something, and see what comes of it. */

import type { Client, FleetwireError } from "@fleetwire/client";
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { type Command, Commands, dataOf, type Outcome, type Reply, reasonOf, refusalOf } from "./commands.ts";

const SUGGESTIONS = ["ping", "stop", "go"]; // what simulated cars know
const TTL_MS = 30_000;

const WORDS: Record<Outcome, string> = {
  SENDING: "Sending",
  PENDING: "Waiting for a reply",
  IN_PROGRESS: "In progress",
  SUCCEEDED: "Succeeded",
  FAILED: "Failed",
  TIMED_OUT: "Timed out",
  REFUSED: "Not sent",
};

interface Props {
  client: Client;
  /** `fleets/berlin/v42` */
  topic: string;
}

export function CommandForm({ client, topic }: Props) {
  const commands = useRef(new Commands()).current;
  const list = useSignal<readonly Command[]>([]);
  const name = useSignal("");
  const data = useSignal("");
  const problem = useSignal("");

  useEffect(() => {
    const replies = client.subscribe({ topic: `${topic}/replies`, interval: 0 }, event => {
      if (event.kind === "error") problem.value = `Replies can't be shown: ${event.description}.`;
      if (event.kind !== "data") return;
      for (const item of event.items) commands.replied(item.data as Reply, performance.now());
      list.value = commands.list;
    });
    return () => {
      replies.unsubscribe().catch(() => {}); // a connection that is gone has no subscriptions
    };
  }, [client, topic, commands, list, problem]);

  const send = async () => {
    problem.value = "";
    let parsed: Record<string, unknown>;
    try {
      parsed = dataOf(data.value);
    } catch (error) {
      problem.value = (error as Error).message;
      return;
    }
    const key = commands.send(name.value.trim(), performance.now());
    list.value = commands.list;
    try {
      const told = { name: name.value.trim(), ...parsed };
      commands.accepted(key, await client.publish(`${topic}/commands`, told, { ttl: TTL_MS }));
    } catch (error) {
      commands.refused(key, refusalOf(error as FleetwireError));
    }
    list.value = commands.list;
  };

  return (
    <section class="command" aria-labelledby="command-title">
      <h3 id="command-title">Send a command</h3>
      <form
        onSubmit={event => {
          event.preventDefault();
          send();
        }}
      >
        <div class="suggestions">
          {SUGGESTIONS.map(suggestion => (
            <button
              type="button"
              class="suggestion"
              key={suggestion}
              aria-pressed={name.value === suggestion}
              onClick={() => {
                name.value = suggestion;
              }}
            >
              {suggestion}
            </button>
          ))}
        </div>
        <label>
          <span>Name</span>
          <input
            class="field"
            value={name.value}
            autocomplete="off"
            spellcheck={false}
            placeholder="ping"
            onInput={event => {
              name.value = event.currentTarget.value;
            }}
          />
        </label>
        <label>
          <span>Data (JSON)</span>
          <input
            class="field mono"
            value={data.value}
            autocomplete="off"
            spellcheck={false}
            placeholder="{}"
            aria-describedby="command-problem"
            onInput={event => {
              data.value = event.currentTarget.value;
            }}
          />
        </label>
        <button type="submit" class="button primary" disabled={!name.value.trim()}>
          Send
        </button>
      </form>
      <p id="command-problem" class="problem" role="alert">
        {problem.value}
      </p>
      <ol class="sent" aria-live="polite" aria-label="Commands sent">
        {list.value.map(command => (
          <Sent key={command.key} command={command} />
        ))}
      </ol>
    </section>
  );
}

function Sent({ command }: { command: Command }) {
  const { name, outcome, reason, data, took } = command;
  return (
    <li>
      <code>{name}</code>
      <span class={`outcome ${outcome.toLowerCase()}`}>{WORDS[outcome]}</span>
      <span class="muted took">{took === undefined ? "" : `${Math.round(took)} ms`}</span>
      {reason !== undefined && <span class="why">{reasonOf(reason)}</span>}
      {data !== undefined && <code class="why muted">{JSON.stringify(data)}</code>}
    </li>
  );
}
