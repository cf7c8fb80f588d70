/** Whether an id `<ms>-<n>` is newer than another of the same topic. */
export function isNewer(id: string, than: string): boolean {
  const [ms, n] = parts(id);
  const [otherMs, otherN] = parts(than);
  return ms === otherMs ? n > otherN : ms > otherMs;
}

function parts(id: string): [ms: number, n: number] {
  const dash = id.indexOf("-");
  return dash < 0 ? [Number(id), 0] : [Number(id.slice(0, dash)), Number(id.slice(dash + 1))];
}
