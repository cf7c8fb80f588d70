/** When the vehicle was connected. */

import type { ReadonlySignal } from "@preact/signals";
import { moment } from "../fleet/words.ts";
import { spans } from "./presence.ts";
import { Ribbon } from "./ribbon.tsx";
import { CONNECTION_NAMES, connectionOf, kindOf } from "./status.ts";
import type { Trail } from "./trail.ts";

interface Props {
  /** Of `…/status`. */
  status: Trail;
  /** How much of it is shown, ms. */
  span: number;
  now: ReadonlySignal<number>;
}

export function Presence({ status, span, now }: Props) {
  const to = now.value;
  const shown = spans(connectionOf(status), to - span, to);
  return (
    <section class="presence" aria-labelledby="presence-title">
      <h3 id="presence-title">Presence</h3>
      <Ribbon spans={shown} label="Connection" kind={kindOf} say={state => CONNECTION_NAMES[kindOf(state)]} />
      <div class="ends" aria-hidden="true">
        <span>{moment(to - span, to)}</span>
        <span>now</span>
      </div>
    </section>
  );
}
