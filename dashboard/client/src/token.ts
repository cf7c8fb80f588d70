const MARGIN_MS = 30_000;
const LEAST_MS = 1_000; // between two renewals, whatever the tokens say
const MOST_MS = 2 ** 31 - 1; // what a timer can count

/** A JSON Web Token, or how to get one. */
export type Token = string | (() => string | Promise<string>);

/** The token to show now. */
export const present = async (token: Token): Promise<string> => (typeof token === "string" ? token : token());

/**
 * Ms from now (epoch ms of the node) until a token had better be renewed: half a minute before it expires, or in the
 * last quarter of a short one's time. Undefined when it does not say when that is.
 */
export function renewal(token: string, now: number): number | undefined {
  const expires = expiry(token);
  if (expires === undefined) return undefined;
  const left = expires - now;
  return Math.min(MOST_MS, Math.max(LEAST_MS, left - Math.min(MARGIN_MS, left / 4)));
}

/** When a token expires, epoch ms. It is read, not verified: that is the node's. */
export function expiry(token: string): number | undefined {
  try {
    const payload = token.split(".")[1]?.replaceAll("-", "+").replaceAll("_", "/") ?? "";
    const { exp } = JSON.parse(atob(payload));
    return Number.isFinite(exp) ? exp * 1_000 : undefined;
  } catch {
    return undefined;
  }
}
