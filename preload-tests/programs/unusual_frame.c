/* Asks for memory in a function that unusual_frame.s defines. */
#include "fixture.h"
#include <stdlib.h>

void from_elsewhere(long calls, char *stack);

FUNCTION void ordinary(void) { KEEP(malloc(47)); }

int main(void) {
    char stack[65536];
    for (int i = 0; i < 100; i++) ordinary();
    from_elsewhere(30, stack + sizeof stack);
    KEEP(stack);
    return 0;
}
