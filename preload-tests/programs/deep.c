/* Recursion deeper than any stack that is recorded, direct and mutual; and one that is not. */
#include "fixture.h"
#include <stdlib.h>

FUNCTION void even(int n);

FUNCTION void direct(int n) {
    if (n) direct(n - 1);
    else KEEP(malloc(77));
    NO_TAIL_CALL();
}

FUNCTION void odd(int n) {
    if (n) even(n - 1);
    else KEEP(malloc(99));
    NO_TAIL_CALL();
}

FUNCTION void even(int n) {
    if (n) odd(n - 1);
    else KEEP(malloc(88));
    NO_TAIL_CALL();
}

int main(void) {
    direct(3000);
    even(3000);
    even(3001);
    even(20);
    return 0;
}
