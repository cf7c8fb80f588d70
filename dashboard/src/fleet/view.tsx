/** The panel of the fleet: counts, search, the list, and alerts. */

import "./fleet.css";

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { AlertList } from "./alerts.tsx";
import { onlyInView, search } from "./choice.ts";
import { Counts } from "./counts.tsx";
import type { Feed } from "./feed.ts";
import { List } from "./list.tsx";

const TABS = ["vehicles", "alerts"] as const;
type Tab = (typeof TABS)[number];

export function FleetPanel({ feed }: { feed: Feed }) {
  const tab = useSignal<Tab>("vehicles");
  const numbers: Record<Tab, number> = { vehicles: feed.members.value, alerts: feed.alerts.value.length };
  const choose = (event: KeyboardEvent) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    tab.value = tab.value === "vehicles" ? "alerts" : "vehicles";
    document.getElementById(`tab-${tab.value}`)?.focus();
  };
  return (
    <div class="fleet">
      <div class="tabs" role="tablist" aria-label="Fleet">
        {TABS.map(name => (
          <button
            type="button"
            role="tab"
            key={name}
            id={`tab-${name}`}
            aria-selected={tab.value === name}
            aria-controls="tab-panel"
            tabIndex={tab.value === name ? 0 : -1}
            onKeyDown={choose}
            onClick={() => {
              tab.value = name;
            }}
          >
            {name === "vehicles" ? "Vehicles" : "Alerts"}{" "}
            <span class="count">{numbers[name].toLocaleString("en")}</span>
          </button>
        ))}
      </div>
      <div class="tab-panel" id="tab-panel" role="tabpanel" aria-labelledby={`tab-${tab.value}`}>
        {tab.value === "vehicles" ? (
          <>
            <Counts feed={feed} />
            <Search />
            <List feed={feed} />
          </>
        ) : (
          <AlertList feed={feed} />
        )}
      </div>
    </div>
  );
}

function Search() {
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && event.target.matches("input, textarea, select");
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      field.current?.focus();
    };
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, []);
  return (
    <div class="search">
      <input
        ref={field}
        class="field"
        type="search"
        placeholder="Search ( / )"
        aria-label="Search vehicles by fleet or name"
        value={search.value}
        onInput={event => {
          search.value = event.currentTarget.value;
        }}
        onKeyDown={event => {
          if (event.key !== "Escape") return;
          search.value = "";
          event.currentTarget.blur();
        }}
      />
      <button
        type="button"
        class="button"
        title="Only those that the map shows"
        aria-pressed={onlyInView.value}
        onClick={() => {
          onlyInView.value = !onlyInView.value;
        }}
      >
        On the map
      </button>
    </div>
  );
}
