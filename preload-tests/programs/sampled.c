/* sampled THREADS ROUNDS: each thread allocates blocks of eight sizes, so that each size has the calls that are
   printed, and frees all but every fourth of each, many allocations later. Prints SIZE CALLS LEFT for each size. */
#include "fixture.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* Sizes that no one else has; the larger ones are rarer, so that each has about as many bytes. */
static const struct { unsigned size, calls; } kinds[] = {
    {17, 2400}, {33, 1200}, {101, 800}, {499, 160}, {1001, 80}, {4099, 20}, {8209, 10}, {700001, 1},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static long rounds;

/* Blocks that wait for their end. */
#define WAITING 30000
static __thread void *waiting[WAITING];
static __thread unsigned next;

FUNCTION void end_next(void *successor) {
    free(waiting[next % WAITING]);
    waiting[next++ % WAITING] = successor;
}

FUNCTION void take(unsigned size, unsigned number) {
    void *block = malloc(size);
    KEEP(block);
    if (number % 4) end_next(block);
}

static void *body(void *unused) {
    for (long round = 0; round < rounds; round++)
        /* Not one size after the other: a gap of the sample goes over all. */
        for (unsigned i = 0; i < kinds[0].calls; i++)
            for (unsigned k = 0; k < KINDS; k++) {
                unsigned every = kinds[0].calls / kinds[k].calls;
                if (i % every == 0) take(kinds[k].size, round * kinds[k].calls + i / every);
            }
    for (int i = 0; i < WAITING; i++) end_next(NULL);
    return unused;
}

int main(int argc, char **argv) {
    if (argc != 3) return 1;
    long threads = atol(argv[1]);
    rounds = atol(argv[2]);
    pthread_t all[16];
    if (threads > 16 || rounds % 4) return 1;
    for (long i = 1; i < threads; i++)
        if (pthread_create(&all[i], NULL, body, NULL)) return 1;
    body(NULL);
    for (long i = 1; i < threads; i++) pthread_join(all[i], NULL);
    for (unsigned k = 0; k < KINDS; k++) {
        long calls = threads * rounds * kinds[k].calls;
        printf("%u %ld %ld\n", kinds[k].size, calls, calls / 4);
    }
    return 0;
}
