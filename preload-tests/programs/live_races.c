/* Threads pass blocks to each other through slots; any of them may realloc or free what it takes.
 *
 * live_races THREADS OPERATIONS ROUNDS
 *
 * Each thread counts what it does, and main prints the sums, a line for each size that is used here and
 * nowhere else: size, calls, frees, temporary ones, grown ones, bytes copied, slack. In the next rounds
 * new threads meet the blocks of those that have ended.
 */
#include "fixture.h"
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The last one is mapped by itself: its address space is given back when it is freed. */
static const size_t sizes[] = {1001, 1017, 1033, 1065, 5001, 140001};
#define SIZES (sizeof sizes / sizeof *sizes)
#define SLOTS 24

/* At the start of each block. */
struct block { uint64_t size, owner, number; };
struct figures { uint64_t calls, frees, temporary, grown, copied, slack; };

static struct block *_Atomic slots[SLOTS];
static struct figures sums[SIZES];
static pthread_mutex_t adding = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t barrier;
static uint64_t operations;

struct worker { pthread_t id; uint64_t name, random, allocations; struct figures figures[SIZES]; };

static uint64_t below(struct worker *me, uint64_t n) {
    me->random = me->random * 6364136223846793005ull + 1442695040888963407ull;
    return (me->random >> 33) % n;
}

static void died(struct worker *me, const struct block *block) {
    struct figures *figures = &me->figures[block->size];
    figures->frees++;
    figures->temporary += block->owner == me->name && block->number == me->allocations;
}

static void born(struct worker *me, struct block *block, uint64_t size) {
    if (!block) abort();
    struct figures *figures = &me->figures[size];
    figures->calls++;
    figures->slack += malloc_usable_size(block) - sizes[size];
    *block = (struct block){size, me->name, ++me->allocations};
}

/* Large ones seldom: each is two system calls. */
static uint64_t a_size(struct worker *me) {
    return below(me, 50) ? below(me, SIZES - 1) : SIZES - 1;
}

FUNCTION void release(struct worker *me, struct block *block) {
    if (!block) return;
    died(me, block);
    free(block);
    NO_TAIL_CALL();
}

FUNCTION struct block *ask(struct worker *me) {
    uint64_t size = a_size(me);
    struct block *block = malloc(sizes[size]);
    born(me, block, size);
    return block;
}

FUNCTION struct block *change(struct worker *me, struct block *block) {
    uint64_t size = a_size(me);
    struct block before = *block;
    uintptr_t place = (uintptr_t)block;
    struct block *now = realloc(block, sizes[size]);
    died(me, &before);
    if (sizes[size] > sizes[before.size]) {
        me->figures[size].grown++;
        if ((uintptr_t)now != place) me->figures[size].copied += sizes[before.size];
    }
    born(me, now, size);
    return now;
}

static void *work(void *argument) {
    struct worker *me = argument;
    pthread_barrier_wait(&barrier);
    for (uint64_t i = 0; i < operations; i++) {
        struct block *_Atomic *slot = &slots[below(me, SLOTS)];
        struct block *block = atomic_exchange(slot, NULL);
        uint64_t kind = below(me, 8);
        if (!block || kind == 0) {
            release(me, block);
            block = ask(me);
        } else if (kind < 5) {
            block = change(me, block);
        } else if (kind < 7) {
            release(me, block);
            block = NULL;
        }
        if (kind == 7) release(me, ask(me));
        release(me, atomic_exchange(slot, block));
    }
    pthread_barrier_wait(&barrier);
    pthread_mutex_lock(&adding);
    for (size_t i = 0; i < SIZES; i++)
        for (size_t word = 0; word < sizeof *sums / sizeof(uint64_t); word++)
            ((uint64_t *)&sums[i])[word] += ((uint64_t *)&me->figures[i])[word];
    pthread_mutex_unlock(&adding);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    unsigned threads = (unsigned)atoi(argv[1]);
    operations = strtoull(argv[2], NULL, 10);
    int rounds = atoi(argv[3]);
    static struct worker workers[64];
    for (int round = 0; round < rounds; round++) {
        pthread_barrier_init(&barrier, NULL, threads);
        for (unsigned i = 0; i < threads; i++) {
            uint64_t name = (uint64_t)round * 64 + i + 1;
            workers[i] = (struct worker){.name = name, .random = name};
            if (pthread_create(&workers[i].id, NULL, work, &workers[i])) abort();
        }
        for (unsigned i = 0; i < threads; i++) pthread_join(workers[i].id, NULL);
        pthread_barrier_destroy(&barrier);
    }
    for (size_t i = 0; i < SIZES; i++) {
        struct figures *f = &sums[i];
        printf("%zu %lu %lu %lu %lu %lu %lu\n", sizes[i], f->calls, f->frees, f->temporary, f->grown, f->copied, f->slack);
    }
    return 0;
}
