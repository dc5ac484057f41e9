// The search field. It waits for a pause in the typing.
import { useEffect, useRef, useState } from "preact/hooks";
import type { State } from "../state";

const PAUSE_MS = 120;

export function Search({ state }: { state: State }) {
    const chosen = state.get("q");
    const [text, setText] = useState(chosen);
    const timer = useRef(0);
    // Somebody else may change it: a view, or the address.
    useEffect(() => setText(chosen), [chosen]);
    const type = (value: string) => {
        setText(value);
        clearTimeout(timer.current);
        timer.current = window.setTimeout(() => state.set({ q: value.trim() }), PAUSE_MS);
    };
    return (
        <form
            class="search"
            role="search"
            onSubmit={(event) => {
                event.preventDefault();
                clearTimeout(timer.current);
                state.set({ q: text.trim() });
            }}
        >
            <input
                id="search"
                type="search"
                value={text}
                placeholder="Search stacks"
                aria-label="Search the names of all stacks"
                title={'Words, all of which a stack has to contain. -word leaves out, "two words", /regular expression/, file:…, module:…, who:…, pc0:… (key: /)'}
                autocomplete="off"
                spellcheck={false}
                onInput={(event) => type(event.currentTarget.value)}
                onKeyDown={(event) => {
                    if (event.key !== "Escape") return;
                    if (text) type("");
                    else event.currentTarget.blur();
                    event.preventDefault();
                }}
            />
            <kbd aria-hidden="true">/</kbd>
        </form>
    );
}
