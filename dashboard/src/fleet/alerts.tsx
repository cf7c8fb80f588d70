/** What vehicles have raised, newest first. */

import { wording } from "./alert.ts";
import type { Feed } from "./feed.ts";
import { moment } from "./words.ts";

export function AlertList({ feed }: { feed: Feed }) {
  const alerts = feed.alerts.value;
  if (alerts.length === 0) return <p class="none muted">No alert in the last 24 hours.</p>;
  return (
    <ol class="alerts" aria-label="Alerts, newest first">
      {alerts.map(alert => (
        <li key={alert.id}>
          <a href={`#/${alert.vehicle}`}>
            <time dateTime={new Date(alert.ts).toISOString()}>{moment(alert.ts)}</time>
            <strong>{alert.vehicle.slice(7)}</strong>
            <span>{wording(alert)}</span>
          </a>
        </li>
      ))}
    </ol>
  );
}
