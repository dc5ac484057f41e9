/* watched KINDS: until it is killed, sites of which each is the first by another order (by bytes, by calls, by live
   bytes, by what came lately), and one more for each of KINDS sizes. */
#include "fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *volatile kept;

FUNCTION void most_bytes(void) { void *p = malloc(1 << 20); KEEP(p); free(p); }
FUNCTION void most_calls(void) { void *p = malloc(16); KEEP(p); free(p); }
FUNCTION void most_live(void) { kept = malloc(1000); KEEP(kept); }
FUNCTION void lately(void) { void *p = malloc(3000); KEEP(p); free(p); }
FUNCTION void other(size_t size) { void *p = malloc(size); KEEP(p); free(p); }

/* They differ beyond the fourth frame. */
FUNCTION void inner(void) { lately(); NO_TAIL_CALL(); }
FUNCTION void middle(void) { inner(); NO_TAIL_CALL(); }
FUNCTION void outer(void) { middle(); NO_TAIL_CALL(); }
FUNCTION void first_path(void) { outer(); NO_TAIL_CALL(); }
FUNCTION void second_path(void) { outer(); NO_TAIL_CALL(); }

int main(int argc, char **argv) {
    if (argc != 2) return 1;
    long kinds = atol(argv[1]);
    for (int i = 0; i < 3000; i++) most_bytes();
    for (int i = 0; i < 100000; i++) most_calls();
    for (int i = 0; i < 4000; i++) most_live();
    for (int ready = 0;; ready = 1) {
        for (int i = 0; i < 3; i++) first_path();
        second_path();
        for (long size = 1; size <= kinds; size++) other(size);
        if (!ready) {
            /* All sites are there. */
            printf("ready\n");
            fflush(stdout);
        }
        usleep(10000);
    }
}
