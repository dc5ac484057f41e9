/* pairs N: N pairs of malloc and free, fifteen frames below main. */
#include "fixture.h"
#include <stdlib.h>

FUNCTION void bottom(long count) {
    for (long i = 0; i < count; i++) {
        void *block = malloc(48);
        KEEP(block);
        free(block);
    }
}
#define LEVEL(name, next) FUNCTION void name(long count) { next(count); NO_TAIL_CALL(); }
LEVEL(f14, bottom) LEVEL(f13, f14) LEVEL(f12, f13) LEVEL(f11, f12) LEVEL(f10, f11)
LEVEL(f9, f10) LEVEL(f8, f9) LEVEL(f7, f8) LEVEL(f6, f7) LEVEL(f5, f6)
LEVEL(f4, f5) LEVEL(f3, f4) LEVEL(f2, f3) LEVEL(f1, f2)

int main(int argc, char **argv) {
    if (argc != 2) return 1;
    f1(atol(argv[1]));
    return 0;
}
