import { render } from "preact";

render(<main>Fleetwire</main>, document.getElementById("app") as HTMLElement);
