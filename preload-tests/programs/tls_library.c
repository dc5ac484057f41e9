/* A library with thread-local storage that the loader allocates when a thread first touches it. */
#include "fixture.h"
#include <stdlib.h>
static __thread char room[100000];
FUNCTION void *touch(void) {
    room[0]++;
    KEEP(malloc(300));
    return room;
}
