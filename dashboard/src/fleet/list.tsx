/** All vehicles as a table that has only the rows that are seen. */

// biome-ignore-all lint/a11y/useSemanticElements: the rows of a table can't be virtual
// biome-ignore-all lint/a11y/useFocusableInteractive: the grid has the focus, aria-activedescendant says where
// biome-ignore-all lint/a11y/useKeyWithClickEvents: the grid has the keys

import { useComputed, useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { open } from "../ui/route.ts";
import { active, chosen, colouring, hovered, onlyInView, sort } from "./choice.ts";
import type { Feed } from "./feed.ts";
import { byName, type Column, ordered, type Sort } from "./order.ts";
import type { Status } from "./vehicles.ts";
import { age, STATUS_NAMES, say, shortName, unitOf } from "./words.ts";

const ROW_PX = 36; // --row-height
const SPARE = 6; // rows above and below

export function List({ feed }: { feed: Feed }) {
  const box = useRef<HTMLDivElement>(null);
  const top = useSignal(0);
  const height = useSignal(600);
  const named = useComputed(() => {
    feed.members.value;
    return byName(feed.vehicles.byTopic.values());
  });
  const rows = useComputed(() => {
    feed.second.value;
    const among = chosen.value;
    const inView = onlyInView.value;
    const signal = colouring.value ?? "Speed";
    return ordered(named.value, sort.value, signal, vehicle => (!inView || vehicle.inView) && among(vehicle));
  });
  useLayoutEffect(() => {
    const container = box.current as HTMLDivElement;
    const measured = new ResizeObserver(() => {
      height.value = container.clientHeight;
    });
    measured.observe(container);
    const at = rows.peek().findIndex(vehicle => vehicle.topic === active.peek());
    if (at > 0) container.scrollTop = (at - 3) * ROW_PX;
    return () => measured.disconnect();
  }, [height, rows]);

  feed.beat.value;
  const all = rows.value;
  const first = Math.max(0, Math.floor(top.value / ROW_PX) - SPARE);
  const shown = all.slice(first, Math.ceil((top.value + height.value) / ROW_PX) + SPARE);
  const at = all.findIndex(vehicle => vehicle.topic === active.value);

  const go = (to: number) => {
    const index = Math.max(0, Math.min(all.length - 1, to));
    const container = box.current as HTMLDivElement;
    active.value = all[index]?.topic;
    hovered.value = active.value;
    const above = index * ROW_PX;
    const page = container.clientHeight - ROW_PX;
    if (above < container.scrollTop) container.scrollTop = above;
    else if (above > container.scrollTop + page - ROW_PX) container.scrollTop = above - page + ROW_PX;
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const page = Math.max(1, Math.floor(height.value / ROW_PX) - 2);
    const steps: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + page,
      PageUp: at - page,
    };
    const to = event.key === "Home" ? 0 : event.key === "End" ? all.length - 1 : steps[event.key];
    if (to !== undefined) go(to);
    else if (event.key === "Enter" && active.value) open(active.value);
    else return;
    event.preventDefault();
  };

  return (
    <div
      ref={box}
      class="list"
      role="grid"
      tabIndex={0}
      aria-label="Vehicles"
      aria-rowcount={all.length + 1}
      aria-activedescendant={at >= first && at < first + shown.length ? idOf(active.value ?? "") : undefined}
      onKeyDown={onKeyDown}
      onScroll={event => {
        top.value = event.currentTarget.scrollTop;
      }}
      onMouseLeave={() => {
        hovered.value = undefined;
      }}
    >
      <Head sort={sort.value} onSort={next => (sort.value = next)} />
      <div role="rowgroup" class="rows" style={{ height: `${all.length * ROW_PX}px` }}>
        {shown.map((vehicle, index) => (
          <Row
            key={vehicle.topic}
            topic={vehicle.topic}
            index={first + index}
            current={vehicle.topic === active.value}
            away={!vehicle.inView}
            status={vehicle.status}
            value={say(vehicle.values[colouring.value ?? "Speed"])}
            age={vehicle.ts ? age(feed.now() - vehicle.ts) : "–"}
          />
        ))}
      </div>
      {all.length === 0 && <p class="none muted">{named.value.length > 0 ? "No vehicle matches." : ""}</p>}
    </div>
  );
}

function Head({ sort, onSort }: { sort: Sort; onSort: (sort: Sort) => void }) {
  const signal = colouring.value ?? "Speed";
  const unit = unitOf(signal);
  const columns: [Column, string][] = [
    ["name", "Vehicle"],
    ["status", "Status"],
    ["value", unit ? `${shortName(signal)}, ${unit}` : shortName(signal)],
    ["age", "Age"],
  ];
  return (
    <div role="row" class="row head" aria-rowindex={1}>
      {columns.map(([column, name]) => {
        const own = sort.column === column;
        const order = own ? (sort.descending ? "descending" : "ascending") : "none";
        return (
          <div role="columnheader" key={column} class={`cell ${column}`} aria-sort={order}>
            <button
              type="button"
              onClick={() => onSort({ column, descending: own && !sort.descending })}
              title={name}
            >
              <span>{name}</span>
              <i aria-hidden="true">{own ? (sort.descending ? "↓" : "↑") : ""}</i>
            </button>
          </div>
        );
      })}
    </div>
  );
}

interface RowProps {
  topic: string;
  index: number;
  /** The keys are here. */
  current: boolean;
  /** Not among those that the live subscription tells of. */
  away: boolean;
  status: Status;
  value: string;
  age: string;
}

/** Rendered when what it says has changed. */
function Row({ topic, index, current, away, status, value, age }: RowProps) {
  const [, fleet, name] = topic.split("/");
  const classes = ["row", current && "active", hovered.value === topic && "hovered", away && "away"];
  return (
    <div
      role="row"
      id={idOf(topic)}
      class={classes.filter(Boolean).join(" ")}
      style={{ transform: `translateY(${index * ROW_PX}px)` }}
      aria-rowindex={index + 2}
      aria-selected={current}
      onClick={() => {
        active.value = topic;
        open(topic);
      }}
      onMouseEnter={() => {
        hovered.value = topic;
      }}
    >
      <div role="gridcell" class="cell name" title={topic}>
        <span>
          {name} <span class="muted small">{fleet}</span>
        </span>
      </div>
      <div role="gridcell" class="cell status">
        <i class={`dot ${status}`} aria-hidden="true" />
        <span>{STATUS_NAMES[status]}</span>
      </div>
      <div role="gridcell" class="cell value">
        {value}
      </div>
      <div role="gridcell" class="cell age">
        {age}
      </div>
    </div>
  );
}

function idOf(topic: string): string {
  return `row-${topic.replace(/[^\w-]/g, "_")}`;
}
