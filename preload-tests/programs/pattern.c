/* A known pattern of allocations, all four frames within the program. */
#include "fixture.h"
#include <stdlib.h>

FUNCTION void leaf(size_t size) {
    void *block = malloc(size);
    KEEP(block);
    free(block);
}

FUNCTION void middle(int count, size_t size) {
    for (int i = 0; i < count; i++) leaf(size);
    NO_TAIL_CALL();
}

FUNCTION void outer(void) {
    middle(1000, 24);
    middle(10, 100);
    NO_TAIL_CALL();
}

/* Two calls of leaf in one function: two return addresses, one row. */
FUNCTION void twice(void) {
    leaf(7);
    leaf(7);
    NO_TAIL_CALL();
}

FUNCTION void nothing_and_much(void) {
    leaf(0);
    leaf(1000000);
    NO_TAIL_CALL();
}

int main(void) {
    outer();
    for (int i = 0; i < 5; i++) twice();
    nothing_and_much();
    void *direct = calloc(3, 11);
    KEEP(direct);
    return 0;
}
