/** The page: a map, a panel beside it, a bar through time below it, and how all of it is doing. */

import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Feed } from "./fleet/feed.ts";
import { FleetPanel } from "./fleet/view.tsx";
import { HealthStrip } from "./health/strip.tsx";
import { FleetMap } from "./map/map.tsx";
import { ReplayBar } from "./replay/bar.tsx";
import type { Session } from "./session.ts";
import { close, vehicleShown } from "./ui/route.ts";
import { States } from "./ui/states.tsx";
import { VehicleView } from "./vehicle/view.tsx";

interface Props {
  session: Session;
  feed: Feed;
  /** Address of a MapLibre style to take instead of our own. */
  style: string | undefined;
}

export function App({ session, feed, style }: Props) {
  const vehicle = vehicleShown.value;
  const back = useRef<HTMLButtonElement>(null);
  useKeys(vehicle, back);
  return (
    <div class={vehicle ? "app with-vehicle" : "app"}>
      <header class="top">
        <h1>
          <a href="#/">Fleetwire</a>
        </h1>
        <code>{feed.topic}</code>
      </header>
      <main class={session.state.value.name === "live" ? "map-slot" : "map-slot stale"}>
        <FleetMap feed={feed} style={style} />
        <States session={session} feed={feed} />
      </main>
      <section class="replay-slot" aria-label="Replay">
        <ReplayBar session={session} feed={feed} />
      </section>
      <aside class="panel" aria-label={vehicle ? "Vehicle" : "Fleet"}>
        {vehicle ? (
          <>
            <button ref={back} type="button" class="button quiet back" onClick={close}>
              ← All vehicles
            </button>
            <VehicleView key={vehicle} session={session} topic={vehicle} />
          </>
        ) : (
          <FleetPanel feed={feed} />
        )}
      </aside>
      <footer class="strip-slot">
        <HealthStrip session={session} feed={feed} />
      </footer>
    </div>
  );
}

/** Escape goes back to the fleet. And the focus goes where the room is: to the vehicle, and back to its row. */
function useKeys(vehicle: string | undefined, back: RefObject<HTMLButtonElement | null>) {
  const before = useRef(vehicle);
  useEffect(() => {
    if (vehicle) back.current?.focus();
    else if (before.current) document.querySelector<HTMLElement>(".list")?.focus();
    before.current = vehicle;
    if (!vehicle) return;
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key === "Escape" && !event.defaultPrevented) close();
    };
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, [vehicle, back]);
}
