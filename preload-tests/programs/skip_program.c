/* A program on the Skip runtime: known numbers of calls, by several paths. With an argument, that
   many calls of one kind and nothing else. */
#include "fixture.h"
#include <stddef.h>
#include <stdlib.h>
char *SKIP_Obstack_alloc(size_t size);
char *SKIP_Obstack_calloc(size_t size);
char *SKIP_Obstack_shallowClone(size_t size, char *object);
char *SKIP_Obstack_alloc_pinned(size_t size);
char *SKIP_Obstack_calloc_pinned(size_t size);

FUNCTION void leaf(size_t size) { KEEP(SKIP_Obstack_alloc(size)); }
FUNCTION void zeroed(size_t size) { KEEP(SKIP_Obstack_calloc(size)); }
FUNCTION void pinned(size_t size) {
    KEEP(SKIP_Obstack_alloc_pinned(size));
    KEEP(SKIP_Obstack_calloc_pinned(size));
}
FUNCTION void cloned(void) {
    size_t object[3] = {sizeof object, 1, 2};
    KEEP(SKIP_Obstack_shallowClone(8, (char *)object));
}
/* The malloc of a Skip program is not reported. */
FUNCTION void other(void) {
    void *block = malloc(77);
    KEEP(block);
    free(block);
}
FUNCTION void down(int depth, size_t size) {
    if (depth) down(depth - 1, size);
    else leaf(size);
    NO_TAIL_CALL();
}
FUNCTION void middle(void) {
    for (int i = 0; i < 1000; i++) leaf(16);
    for (int i = 0; i < 7; i++) zeroed(40);
    for (int i = 0; i < 3; i++) pinned(24);
    for (int i = 0; i < 5; i++) cloned();
    for (int i = 0; i < 2; i++) other();
    KEEP(SKIP_Obstack_alloc(48));
    leaf(2 << 20);
    NO_TAIL_CALL();
}
FUNCTION void skip_main(void) {
    middle();
    down(9, 32);
    leaf(0);
    NO_TAIL_CALL();
}

int main(int argc, char **argv) {
    if (argc > 1) {
        for (long i = atol(argv[1]); i > 0; i--) leaf(24);
        return 0;
    }
    skip_main();
    return 0;
}
