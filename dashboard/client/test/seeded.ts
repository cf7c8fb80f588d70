/** Random numbers that are the same for a seed (mulberry32): `chance()` in [0, 1), `below(n)` a whole number. */
export function seeded(seed: number) {
  let state = seed;
  const chance = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return { chance, below: (n: number) => Math.floor(chance() * n) };
}
