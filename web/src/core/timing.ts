// How long the page takes for what people wait for: performance.measure entries, which the tests read.

export function timed<T>(name: string, work: () => T): T {
    const start = performance.now();
    const result = work();
    performance.measure(`skipheap:${name}`, { start, end: performance.now() });
    return result;
}
