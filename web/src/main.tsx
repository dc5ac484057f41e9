// Begins the page: takes the data out of it, then draws.
import { render } from "preact";
import { timed } from "./core/timing";
import { DataError, decode } from "./data/decode";
import { Profile } from "./data/profile";
import { State } from "./state";
import "./styles/base.css";
import "./styles/layout.css";
import "./styles/table.css";
import "./styles/charts.css";
import { App } from "./ui/App";
import { loadTheme } from "./ui/theme";

async function begin(): Promise<void> {
    const place = document.getElementById("app")!;
    try {
        const element = document.getElementById("skipheap-data");
        const start = performance.now();
        const raw = await decode(element?.textContent ?? "");
        // The text is many megabytes of a large profile, and is not needed any more.
        element?.remove();
        performance.measure("skipheap:decode", { start, end: performance.now() });
        const state = timed("model", () => new State(new Profile(raw)));
        loadTheme(state);
        document.title = `${state.profile.title} · skipheap`;
        place.textContent = "";
        timed("render", () => render(<App state={state} />, place));
    } catch (error) {
        if (!(error instanceof DataError)) console.error(error);
        const message = document.createElement("p");
        message.className = "boot failed";
        message.setAttribute("role", "alert");
        message.textContent = error instanceof Error ? error.message : String(error);
        place.replaceChildren(message);
    }
}

void begin();
