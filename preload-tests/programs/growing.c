/* New sites for a while: ten thousand calls of malloc, each at a place of its own, a little apart; a thousand for each
   byte of standard input. */
#include "fixture.h"
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

FUNCTION void pause_a_little(void) {
    struct timespec time = {0, 60000};
    nanosleep(&time, NULL);
}

#define ONE KEEP(malloc(24)); pause_a_little();
#define TEN ONE ONE ONE ONE ONE ONE ONE ONE ONE ONE
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define THOUSAND(name)                                                                              \
    FUNCTION void name(void) {                                                                      \
        HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED             \
    }
THOUSAND(grow0) THOUSAND(grow1) THOUSAND(grow2) THOUSAND(grow3) THOUSAND(grow4)
THOUSAND(grow5) THOUSAND(grow6) THOUSAND(grow7) THOUSAND(grow8) THOUSAND(grow9)

int main(void) {
    static void (*const grow[])(void) = {
        grow0, grow1, grow2, grow3, grow4, grow5, grow6, grow7, grow8, grow9,
    };
    for (int i = 0; i < 10; i++) {
        char byte;
        if (read(0, &byte, 1) != 1) return 1;
        grow[i]();
    }
    return 0;
}
