/* A wide graph of calls, walked by a fixed sequence of pseudo-random numbers: thousands of
   different stacks, some with recursion, all within the program. */
#include "fixture.h"
#include <stdint.h>
#include <stdlib.h>

static uint64_t state = 88172645463325252ull;
static unsigned next(unsigned limit) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state % limit;
}

FUNCTION void ask(void) {
    void *block = malloc(8 * next(4));
    KEEP(block);
    free(block);
}

/* Calls a function of the table, or asks for memory at the bottom. */
static void (*const table[8])(int);
static inline __attribute__((always_inline)) void go_on(int depth) {
    if (depth == 0) ask();
    else table[next(8)](depth - 1);
    NO_TAIL_CALL();
}

/* Frames of different sizes: none of their own, large, realigned, variable. */
FUNCTION void small(int depth) { go_on(depth); }
FUNCTION void large(int depth) {
    volatile char room[5000];
    room[0] = 1;
    KEEP(room);
    go_on(depth);
    KEEP(room);
}
FUNCTION void aligned(int depth) {
    _Alignas(64) volatile char room[64];
    room[0] = 1;
    KEEP(room);
    go_on(depth);
    KEEP(room);
}
FUNCTION void variable(int depth) {
    volatile char room[16 + next(500)];
    room[0] = 1;
    KEEP(room);
    go_on(depth);
    KEEP(room);
}
/* Two calls, two return addresses, one name. */
FUNCTION void either(int depth) {
    if (next(2)) {
        go_on(depth);
    } else {
        go_on(depth);
        KEEP(depth);
    }
}
FUNCTION void recursive(int depth) {
    if (next(3)) recursive(depth);
    else go_on(depth);
    NO_TAIL_CALL();
}
/* Many registers to save. */
FUNCTION void busy(int depth) {
    int a = next(9), b = next(9), c = next(9), d = next(9), e = next(9);
    go_on(depth);
    KEEP(a + b + c + d + e);
    go_on(0);
    KEEP(a * b * c * d * e);
}
/* A tail call, which leaves no frame where it is optimised. */
FUNCTION void tail(int depth) { table[next(7)](depth); }

static void (*const table[8])(int) = {small, large, aligned, variable, either, recursive, busy, tail};

int main(void) {
    for (int i = 0; i < 20000; i++) {
        go_on(next(9));
    }
    return 0;
}
