// A recursive descent that makes as many stacks as it is asked for: few functions call each other
// in random order, as a parser or a walk over a tree does, and each call allocates.
//
// Arguments: how many descents (of 10 calls each), and how many threads make them (1).

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define DEEP 10

struct walk {
    uint64_t random;
    uint64_t allocations;
    long descents;
};

static uint64_t next(struct walk *walk) {
    walk->random ^= walk->random << 13;
    walk->random ^= walk->random >> 7;
    walk->random ^= walk->random << 17;
    return walk->random >> 32;
}

static void descend(struct walk *walk, int depth);

#define CALLED(name)                                                                               \
    __attribute__((noinline)) static void name(struct walk *walk, int depth) {                     \
        void *block = malloc(16 + (depth & 7) * 8);                                                \
        __asm__ volatile("" ::"r"(block) : "memory");                                              \
        walk->allocations++;                                                                       \
        descend(walk, depth - 1);                                                                  \
        free(block);                                                                               \
    }
CALLED(first)
CALLED(second)
CALLED(third)
CALLED(fourth)

__attribute__((noinline)) static void descend(struct walk *walk, int depth) {
    if (depth == 0) {
        return;
    }
    switch (next(walk) & 3) {
    case 0: first(walk, depth); break;
    case 1: second(walk, depth); break;
    case 2: third(walk, depth); break;
    default: fourth(walk, depth); break;
    }
    __asm__ volatile("");
}

static void *work(void *of) {
    struct walk *walk = of;
    for (long i = 0; i < walk->descents; i++) {
        descend(walk, DEEP);
    }
    return 0;
}

int main(int count, char **arguments) {
    long descents = count > 1 ? atol(arguments[1]) : 570000;
    int threads = count > 2 ? atoi(arguments[2]) : 1;
    struct walk walks[64];
    pthread_t others[64];
    uint64_t allocations = 0;
    for (int i = 0; i < threads; i++) {
        walks[i] = (struct walk){88172645463325252ull + 7919ull * i, 0, descents / threads};
    }
    if (threads == 1) {
        work(&walks[0]);
    }
    for (int i = 0; threads > 1 && i < threads; i++) {
        pthread_create(&others[i], 0, work, &walks[i]);
    }
    for (int i = 0; i < threads; i++) {
        if (threads > 1) {
            pthread_join(others[i], 0);
        }
        allocations += walks[i].allocations;
    }
    printf("%llu\n", (unsigned long long)allocations);
    return 0;
}
