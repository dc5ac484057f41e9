// What each thread asked for.
import type { State } from "../state";
import { Sums } from "./Sums";

export function Threads({ state }: { state: State }) {
    const by = state.keys.get("thread");
    return (
        <div class="scroll">
            <section class="card">
                <h2>Threads</h2>
                {state.profile.threadCount === 0 ? (
                    <p class="sub">The recording does not tell threads apart.</p>
                ) : (
                    <Sums state={state} caption="Sums by thread" by={by} onPick={(key) => state.set(key === 0 ? { tab: "table", group: "thread" } : { tab: "table", thread: String(key - 1) })} />
                )}
            </section>
        </div>
    );
}
