/** The page: a map, a panel beside it, a bar through time below it, and how all of it is doing. */

import type { Feed } from "./fleet/feed.ts";
import { FleetMap, FleetPanel } from "./fleet/view.tsx";
import { HealthStrip } from "./health/strip.tsx";
import { ReplayBar } from "./replay/bar.tsx";
import type { Session } from "./session.ts";
import { close, vehicleShown } from "./ui/route.ts";
import { Banner } from "./ui/states.tsx";
import { VehicleView } from "./vehicle/view.tsx";

interface Props {
  session: Session;
  feed: Feed;
  /** Address of a MapLibre style to take instead of our own. */
  style: string | undefined;
}

export function App({ session, feed, style }: Props) {
  const vehicle = vehicleShown.value;
  return (
    <div class={vehicle ? "app with-vehicle" : "app"}>
      <header class="top">
        <h1>
          <a href="#/">Fleetwire</a>
        </h1>
        <Banner session={session} />
      </header>
      <main class="map-slot">
        <FleetMap session={session} feed={feed} style={style} />
      </main>
      <section class="replay-slot" aria-label="Replay">
        <ReplayBar feed={feed} />
      </section>
      <aside class="panel" aria-label={vehicle ? "Vehicle" : "Fleet"}>
        {vehicle ? (
          <>
            <button type="button" class="button quiet back" onClick={close}>
              ← All vehicles
            </button>
            <VehicleView key={vehicle} session={session} topic={vehicle} />
          </>
        ) : (
          <FleetPanel session={session} feed={feed} />
        )}
      </aside>
      <footer class="strip-slot">
        <HealthStrip session={session} feed={feed} />
      </footer>
    </div>
  );
}
