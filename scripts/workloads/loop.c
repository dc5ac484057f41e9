/* loop THREADS PAIRS: each thread makes PAIRS pairs of malloc and free, 10 to 20 frames below its
   start, in a tight loop. */
#include <pthread.h>
#include <stdlib.h>

#define FUNCTION __attribute__((noinline, noclone))
#define KEEP(value) __asm__ volatile("" : : "r"(value) : "memory")

static long pairs;

FUNCTION void work(long count, size_t size) {
    for (long i = 0; i < count; i++) {
        void *block = malloc(size);
        KEEP(block);
        free(block);
    }
}

/* Each level has a frame of its own size; the call returns here, so it is no tail call. */
#define LEVEL(name, next, room)                                                                  \
    FUNCTION void name(long count, size_t size) {                                                \
        char space[room];                                                                        \
        KEEP(space);                                                                             \
        next(count, size);                                                                       \
        KEEP(space);                                                                             \
    }
LEVEL(l9, work, 24) LEVEL(l8, l9, 8) LEVEL(l7, l8, 100) LEVEL(l6, l7, 40) LEVEL(l5, l6, 16)
LEVEL(l4, l5, 8) LEVEL(l3, l4, 300) LEVEL(l2, l3, 56) LEVEL(l1, l2, 24)

FUNCTION void deeper(int levels, long count, size_t size) {
    if (levels == 0) l1(count, size);
    else deeper(levels - 1, count, size);
    KEEP(levels);
}

static void *body(void *unused) {
    /* 11 depths, from 10 to 20 frames; the loop at the bottom is long enough for each. */
    for (long done = 0; done < pairs; done += 11 * 1000)
        for (int extra = 0; extra <= 10; extra++) deeper(extra, 1000, 16 + 8 * extra);
    return unused;
}

int main(int argc, char **argv) {
    if (argc != 3) return 1;
    int threads = atoi(argv[1]);
    pairs = atol(argv[2]);
    pthread_t all[64];
    if (threads < 1 || threads > 64) return 1;
    for (int i = 1; i < threads; i++)
        if (pthread_create(&all[i], NULL, body, NULL)) return 1;
    body(NULL);
    for (int i = 1; i < threads; i++) pthread_join(all[i], NULL);
    return 0;
}
