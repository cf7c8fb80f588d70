import { render } from "preact";
import { App } from "./app.tsx";
import { Feed } from "./fleet/feed.ts";
import { EVERYTHING } from "./fleet/topics.ts";
import { Session } from "./session.ts";
import "./ui/theme.css";
import "./ui/layout.css";

const asked = new URLSearchParams(location.search);
const session = new Session();
// A plus in an address reads as a space, which no topic has.
const feed = new Feed(session, asked.get("topic")?.replaceAll(" ", "+") ?? EVERYTHING);

render(
  <App session={session} feed={feed} style={asked.get("style") ?? undefined} />,
  document.getElementById("app") as HTMLElement,
);
