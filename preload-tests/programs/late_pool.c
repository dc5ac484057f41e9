/* A library with an allocator of its own, which is no dynamic symbol; built several times. */
#include "fixture.h"
#include <stddef.h>

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)

static char room[1 << 16];
static volatile size_t used[ROOM];

static FUNCTION void *JOIN(NAME, _take)(size_t size) {
    used[size % ROOM]++;
    KEEP(room);
    return room + size % sizeof room;
}
static FUNCTION void *JOIN(NAME, _take_array)(size_t count, size_t size) {
    void *block = JOIN(NAME, _take)(count * size);
    NO_TAIL_CALL();
    return block;
}
__attribute__((constructor)) static FUNCTION void JOIN(NAME, _start)(void) { KEEP(JOIN(NAME, _take)(5)); }
__attribute__((destructor)) static FUNCTION void JOIN(NAME, _end)(void) { KEEP(JOIN(NAME, _take)(6)); }
FUNCTION void work(int calls) {
    for (int i = 0; i < calls; i++) {
        KEEP(JOIN(NAME, _take)(SIZE));
        KEEP(JOIN(NAME, _take_array)(3, SIZE));
    }
}
