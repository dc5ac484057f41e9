// Names and numbers as they stand in all views.
import { amount, exact, parts } from "../core/format";
import { shortName } from "../core/names";
import type { Unit } from "../data/metrics";

/** A name without what makes it long, and without its middle where there is no room; the whole is its title. */
export function Name({ name, hint }: { name: string; hint?: string }) {
    const [head, tail] = parts(shortName(name));
    return (
        <span class="name" title={hint ? `${name}\n${hint}` : name}>
            <bdi class="head">{head}</bdi>
            {tail && <bdi class="tail">{tail}</bdi>}
        </span>
    );
}

/** A number in human units; the exact one is its title. */
export function Amount({ value, unit, plus }: { value: number; unit: Unit; plus?: boolean }) {
    return (
        <span class="number" title={exact(value, unit, plus)}>
            {amount(value, unit, plus)}
        </span>
    );
}
