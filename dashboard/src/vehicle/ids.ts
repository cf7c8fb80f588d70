/** The id of a stored reading, `<ms>-<n>`, as numbers: as text, `9-10` would come before `9-2`. */
export type Id = readonly [ms: number, n: number];

export function idOf(text: string): Id {
  const dash = text.indexOf("-");
  return [Number(text.slice(0, dash)), Number(text.slice(dash + 1))];
}

/** Below 0 when `a` was stored before `b`, 0 when they are the same. */
export function compareIds(a: Id, b: Id): number {
  return a[0] - b[0] || a[1] - b[1];
}
