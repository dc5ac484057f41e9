/* Every function that hands out memory, each asked by a function of its own. */
#define _GNU_SOURCE
#define FIXTURE_PVALLOC
#include <malloc.h>
#include <stdlib.h>
#include "fixture.h"

FUNCTION void ask_malloc(void) { KEEP(malloc(101)); }
FUNCTION void ask_calloc(void) { KEEP(calloc(3, 34)); }
FUNCTION void ask_realloc_of_null(void) { KEEP(realloc(NULL, 103)); }
FUNCTION void ask_realloc(void *old) { KEEP(realloc(old, 104)); }
FUNCTION void ask_reallocarray(void) { KEEP(reallocarray(NULL, 5, 21)); }
FUNCTION void ask_posix_memalign(void) {
    void *block = NULL;
    if (posix_memalign(&block, 256, 106)) abort();
    KEEP(block);
}
FUNCTION void ask_aligned_alloc(void) { KEEP(aligned_alloc(64, 128)); }
FUNCTION void ask_memalign(void) { KEEP(memalign(512, 108)); }
FUNCTION void ask_valloc(void) { KEEP(valloc(109)); }
FUNCTION void ask_pvalloc(void) { KEEP(pvalloc(110)); }
FUNCTION void ask_nothing(void) {
    KEEP(calloc(0, 8));
    KEEP(realloc(NULL, 0));
}

int main(void) {
    ask_malloc();
    ask_calloc();
    ask_realloc_of_null();
    ask_realloc(malloc(1));
    ask_reallocarray();
    ask_posix_memalign();
    ask_aligned_alloc();
    ask_memalign();
    ask_valloc();
    ask_pvalloc();
    ask_nothing();
    free(NULL);
    return 0;
}
