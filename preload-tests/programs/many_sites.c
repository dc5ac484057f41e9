/* many_sites N: N times a hundred calls of malloc, each from a place of its own; N is 20 at most. */
#include "fixture.h"
#include <stdlib.h>

#define CALL free(KEPT(malloc(24)));
#define TEN CALL CALL CALL CALL CALL CALL CALL CALL CALL CALL
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static inline void *KEPT(void *block) {
    KEEP(block);
    return block;
}

#define FUNCTIONS(all) all(0) all(1) all(2) all(3) all(4) all(5) all(6) all(7) all(8) all(9) \
    all(10) all(11) all(12) all(13) all(14) all(15) all(16) all(17) all(18) all(19)
#define FUNCTION_OF(number) FUNCTION void many_##number(void) { HUNDRED }
#define NAME_OF(number) many_##number,

FUNCTIONS(FUNCTION_OF)
static void (*const functions[])(void) = {FUNCTIONS(NAME_OF)};

int main(int argc, char **argv) {
    if (argc != 2) return 1;
    for (int i = 0; i < atoi(argv[1]); i++) functions[i]();
    return 0;
}
