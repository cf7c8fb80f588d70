import type { Session } from "../session.ts";

export function VehicleView(_: { session: Session; topic: string }) {
  return null;
}
