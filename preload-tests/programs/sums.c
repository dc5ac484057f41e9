/* A pool whose functions are hooked by name and ask malloc for their memory, beside blocks of the
   program's own that cross the pool's border in every direction. With an argument, the recording
   stops and starts meanwhile. */
#include "../../include/skipheap.h"
#include "fixture.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK (1 << 20)

static __thread char *chunk;
static __thread size_t left;
static void *directory;
static void *kept[64];

FUNCTION static void *new_chunk(void) { return malloc(CHUNK); }

/* Hooked: the chunk that it asks for is no allocation of the program. */
FUNCTION static void *pool_take(size_t size) {
    if (left < size) {
        char *next = new_chunk();
        memcpy(next, &chunk, sizeof chunk);
        chunk = next;
        left = CHUNK - sizeof chunk;
    }
    left -= size;
    return chunk + sizeof chunk + left;
}

/* Hooked: grows a block of the pool's own, or one of the program's. */
FUNCTION static void *pool_grow(size_t size, void *block) {
    void *grown = realloc(block, size);
    NO_TAIL_CALL();
    return grown;
}

/* Hooked: frees a block of the program's, and gives it one of the pool's. */
FUNCTION static void *pool_swap(size_t size, void *block) {
    free(block);
    return malloc(size);
}

FUNCTION static void *take(size_t size) {
    void *block = malloc(size);
    KEEP(block);
    return block;
}

FUNCTION static void *work(void *unused) {
    (void)unused;
    for (int i = 0; i < 300; i++)
        KEEP(pool_take(10000));
    for (int i = 0; i < 100; i++)
        free(take(48));
    return NULL;
}

FUNCTION static void cross(void) {
    for (int i = 0; i < 10; i++) {
        /* From the program's into the pool's, and back. */
        void *block = pool_grow(400, take(100));
        block = realloc(block, 800);
        KEEP(block);
        free(block);
        block = pool_swap(77, take(200));
        free(block);
        directory = pool_grow(3000 * (i + 1), directory);
    }
}

FUNCTION static void lose(void) {
    KEEP(take(1234));
    KEEP(pool_swap(4321, NULL));
}

int main(int argc, char **argv) {
    (void)argv;
    pthread_t thread;
    for (int i = 0; i < 64; i++) kept[i] = take(4096);
    work(NULL);
    if (argc > 1) skipheap_stop();
    work(NULL);
    cross();
    if (argc > 1) skipheap_start();
    pthread_create(&thread, NULL, work, NULL);
    pthread_join(thread, NULL);
    cross();
    skipheap_phase("nearly done");
    for (int i = 0; i < 32; i++) free(kept[i]);
    lose();
    clear_stack();
    return 0;
}
