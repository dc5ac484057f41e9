/* short_stacks THREADS ALLOCATIONS: that many allocations in all, shared by the threads, each made in
   a thread's start function: a stack of three frames. A block is written, and freed 64 later. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT = 64, MOST_THREADS = 256 };

static long each;

static void *worker(void *argument) {
    char *kept[KEPT] = {NULL};
    for (long i = 0; i < each; i++) {
        char **block = &kept[i % KEPT];
        size_t size = 16 + (size_t)(i * 7919 % 31) * 16;
        free(*block);
        *block = malloc(size);
        if (!*block) abort();
        memset(*block, (int)i, size);
        __asm__ volatile("" : : "r"(*block) : "memory");
    }
    for (int i = 0; i < KEPT; i++) free(kept[i]);
    return argument;
}

int main(int argc, char **argv) {
    static pthread_t threads[MOST_THREADS];
    if (argc != 3) return 2;
    int count = atoi(argv[1]);
    if (count < 1 || count > MOST_THREADS) return 2;
    each = atol(argv[2]) / count;
    for (int i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, worker, NULL)) return 1;
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
    return 0;
}
