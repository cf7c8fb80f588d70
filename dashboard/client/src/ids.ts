/** Whether an id `<ms>-<n>` is newer than another of the same topic. */
export function isNewer(id: string, than: string): boolean {
  const dash = id.indexOf("-");
  const otherDash = than.indexOf("-");
  const ms = Number(id.slice(0, dash));
  const otherMs = Number(than.slice(0, otherDash));
  return ms === otherMs ? Number(id.slice(dash + 1)) > Number(than.slice(otherDash + 1)) : ms > otherMs;
}
