/* crowd THREADS ROUNDS: the threads allocate and free small blocks for so many rounds while almost
   nothing is alive. Then each keeps 100 blocks of 500 bytes, all of them at once, and frees them. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

enum { KEPT = 100, SIZE = 500, MOST_THREADS = 64 };

static long rounds;
static pthread_barrier_t barrier;

static void *worker(void *argument) {
    uint64_t random = (uintptr_t)argument;
    for (long i = 0; i < rounds; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        void *block = malloc(16 + (random >> 33) % 1000);
        __asm__ volatile("" : : "r"(block) : "memory");
        free(block);
    }
    void *kept[KEPT];
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < KEPT; i++) kept[i] = malloc(SIZE);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < KEPT; i++) free(kept[i]);
    return NULL;
}

int main(int argc, char **argv) {
    static pthread_t threads[MOST_THREADS];
    if (argc != 3) return 2;
    int count = atoi(argv[1]);
    if (count < 1 || count > MOST_THREADS) return 2;
    rounds = atol(argv[2]);
    if (pthread_barrier_init(&barrier, NULL, (unsigned)count)) return 1;
    for (int i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, worker, (void *)(uintptr_t)(i + 1))) return 1;
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
    return 0;
}
