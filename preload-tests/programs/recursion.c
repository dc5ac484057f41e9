/* Recursion: direct, to a depth that would fill the four frames, and mutual. */
#include "fixture.h"
#include <stdlib.h>

FUNCTION void direct(int depth) {
    if (depth == 0)
        KEEP(malloc(16));
    else
        direct(depth - 1);
    NO_TAIL_CALL();
}

FUNCTION void pong(int depth);
FUNCTION void ping(int depth) {
    if (depth == 0)
        KEEP(malloc(32));
    else
        pong(depth - 1);
    NO_TAIL_CALL();
}
FUNCTION void pong(int depth) {
    ping(depth);
    NO_TAIL_CALL();
}

FUNCTION void start(void) {
    direct(20);
    ping(20);
    NO_TAIL_CALL();
}

int main(void) {
    start();
    NO_TAIL_CALL();
    return 0;
}
