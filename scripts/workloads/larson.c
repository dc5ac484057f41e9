/* larson THREADS ROUNDS: each thread frees a random block and makes one of random size in its place,
   hands its blocks to a new thread every so often, and ends: a server under load. The allocations
   are made in the threads' start functions, so that their stacks are short.

   Written for this benchmark, in the shape of Larson's and Krishnan's program; the number of
   operations is fixed, and not the time. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

enum { BLOCKS = 5000, PER_THREAD = 100000, SMALLEST = 8, LARGEST = 1000, MOST_THREADS = 256 };

typedef struct {
    char *blocks[BLOCKS];
    uint64_t random;
} Heap;

static uint32_t next(uint64_t *random) {
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33);
}

static void *worker(void *argument) {
    Heap *heap = argument;
    for (int i = 0; i < PER_THREAD; i++) {
        char **block = &heap->blocks[next(&heap->random) % BLOCKS];
        size_t size = SMALLEST + next(&heap->random) % (LARGEST - SMALLEST);
        free(*block);
        *block = malloc(size);
        if (!*block) abort();
        **block = (char)i;
        (*block)[size - 1] = (char)i;
    }
    return NULL;
}

int main(int argc, char **argv) {
    static Heap heaps[MOST_THREADS];
    static pthread_t threads[MOST_THREADS];
    if (argc != 3) return 2;
    int count = atoi(argv[1]), rounds = atoi(argv[2]);
    if (count < 1 || count > MOST_THREADS) return 2;
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < count; i++) {
            heaps[i].random += (uint64_t)(4141 + i);
            if (pthread_create(&threads[i], NULL, worker, &heaps[i])) return 1;
        }
        for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
    }
    return 0;
}
