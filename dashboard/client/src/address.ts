/** The address of a node's WebSocket: `url` may be that of the node; without one, the page's own place. */
export function streamUrl(url: string | URL | undefined): string {
  const place = typeof location === "undefined" ? undefined : location.href;
  if (url === undefined && place === undefined) throw new TypeError("connect wants the url of a node");
  const found = new URL(url ?? ".", place);
  found.protocol = found.protocol.replace(/^http/, "ws");
  if (!/^wss?:$/.test(found.protocol)) throw new TypeError(`the url must be ws(s):// or http(s)://, not ${url}`);
  found.hash = "";
  if (!found.pathname.endsWith("/v1/stream")) found.pathname = `${found.pathname.replace(/\/+$/, "")}/v1/stream`;
  return found.href;
}
