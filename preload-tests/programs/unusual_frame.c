/* Asks for memory in a function that unusual_frame.s defines. */
#include "fixture.h"
#include <stdlib.h>

void from_rbx(long calls);

FUNCTION void ordinary(void) { KEEP(malloc(47)); }

int main(void) {
    for (int i = 0; i < 100; i++) ordinary();
    from_rbx(30);
    NO_TAIL_CALL();
    return 0;
}
