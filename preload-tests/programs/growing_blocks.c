/* Twenty thousand blocks of 20 bytes that grow to 500. */
#include "fixture.h"
#include <stdlib.h>

FUNCTION void grow(void) {
    void *block = malloc(20);
    KEEP(block);
    block = realloc(block, 500);
    KEEP(block);
    free(block);
}

int main(void) {
    for (int i = 0; i < 20000; i++) grow();
    return 0;
}
