// Keys, terms, and what the page is made of.
import { useEffect, useRef } from "preact/hooks";
import type { State } from "../state";
import { KEYS } from "./keyboard";

export function Help({ state }: { state: State }) {
    const dialog = useRef<HTMLDialogElement>(null);
    const open = state.help.value;
    useEffect(() => {
        if (open) dialog.current?.showModal();
        else dialog.current?.close();
    }, [open]);
    const licences = document.getElementById("skipheap-licences")?.textContent?.trim();
    const metrics = [...state.profile.metrics.values()].filter(({ side }) => side !== "old" && side !== "delta");
    return (
        <dialog ref={dialog} aria-labelledby="help-title" onClose={() => (state.help.value = false)} onClick={(event) => event.target === dialog.current && (state.help.value = false)}>
            <div class="help">
                <header>
                    <h2 id="help-title">Keys and terms</h2>
                    <button type="button" class="plain" aria-label="Close" title="Close (Esc)" autofocus onClick={() => (state.help.value = false)}>
                        ×
                    </button>
                </header>
                <dl class="keys">
                    {KEYS.map(([keys, what]) => (
                        <div key={keys}>
                            <dt>
                                <kbd>{keys}</kbd>
                            </dt>
                            <dd>{what}</dd>
                        </div>
                    ))}
                </dl>
                <h3>Search</h3>
                <p>
                    All words have to be in the names of a stack, wherever. <code>-word</code> leaves out, <code>"two words"</code> and <code>/regular expressions/</code> work, <code>file:</code> and <code>module:</code> look
                    there, <code>pc0:</code> to <code>pc3:</code> in that function alone, <code>who:</code> in the responsible one. The search holds for all views.
                </p>
                <h3>Columns</h3>
                <dl class="terms">
                    {metrics.map(({ id, label, hint }) => (
                        <div key={id}>
                            <dt>{label}</dt>
                            <dd>{hint}</dd>
                        </div>
                    ))}
                </dl>
                <p>
                    <b>responsible</b> is the first function that is neither an allocation wrapper (xmalloc) nor a container (std::vector). <b>pc0</b> is the function that asked for memory, <b>pc1</b> to <b>pc3</b> are its callers, outwards. Wrappers such as <code>operator new</code> are left out.
                </p>
                <details>
                    <summary>Licences of what this page is made of</summary>
                    <pre>{licences}</pre>
                </details>
                <p class="sub">Written by {state.profile.tool}. The page loads nothing and sends nothing.</p>
            </div>
        </dialog>
    );
}
