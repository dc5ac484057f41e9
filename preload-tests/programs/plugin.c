/* A plug-in; built several times, with another name and another frame each time. */
#include "fixture.h"
#include <stdlib.h>

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)

FUNCTION void JOIN(NAME, _ask)(void) {
    volatile char room[ROOM];
    room[0] = 1;
    KEEP(room);
    KEEP(malloc(SIZE));
}
FUNCTION void JOIN(NAME, _middle)(void) {
    volatile char room[ROOM * 3];
    room[0] = 1;
    KEEP(room);
    JOIN(NAME, _ask)();
    NO_TAIL_CALL();
}
__attribute__((constructor)) FUNCTION void JOIN(NAME, _constructor)(void) { KEEP(malloc(SIZE + 1)); }
FUNCTION void plugin(void) {
    JOIN(NAME, _middle)();
    NO_TAIL_CALL();
}
