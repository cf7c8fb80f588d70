/** All signals: the newest value of each, and how old it is. */

import type { ReadonlySignal } from "@preact/signals";
import { age, say, unitOf } from "../fleet/words.ts";
import { exact } from "./figures.ts";
import type { Trail } from "./trail.ts";

interface Props {
  trail: Trail;
  /** Epoch ms; once a second is enough. */
  second: ReadonlySignal<number>;
}

const DECIMALS = 6;

export function State({ trail, second }: Props) {
  const now = second.value;
  const signals = [...trail.latest.keys()].sort();
  return (
    <section class="signals" aria-labelledby="signals-title">
      <h3 id="signals-title">Signals</h3>
      <table>
        <thead>
          <tr>
            <th scope="col">Signal</th>
            <th scope="col">Value</th>
            <th scope="col">Age</th>
          </tr>
        </thead>
        <tbody>
          {signals.map(signal => {
            const { value, ts } = trail.latest.get(signal) ?? { value: null };
            return (
              <tr key={signal}>
                <th scope="row" title={signal}>
                  {/* may be cut in two after each dot */}
                  {signal.split(".").flatMap((part, i) => (i ? [".", <wbr key={part} />, part] : part))}
                </th>
                <td>
                  {typeof value === "number" ? exact(value, DECIMALS) : say(value)}{" "}
                  <span class="muted">{unitOf(signal)}</span>
                </td>
                <td class="muted">{ts === undefined ? "older" : age(now - ts)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}
