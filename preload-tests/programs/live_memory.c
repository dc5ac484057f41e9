/* What following blocks costs in memory, and whether it moves them.
 *
 * live_memory blocks COUNT SIZE  fills blocks and prints the resident memory in pages
 * live_memory layout SEED        prints where random blocks lie and how much of each is usable
 */
#include "fixture.h"
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state;

static uint64_t below(uint64_t n) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (state >> 33) % n;
}

static long resident(void) {
    long total, pages;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &total, &pages) != 2) abort();
    fclose(file);
    return pages;
}

static int blocks(size_t count, size_t size) {
    for (size_t i = 0; i < count; i++) {
        void *block = malloc(size);
        if (!block) abort();
        memset(block, 1, size);
        KEEP(block);
    }
    printf("%ld\n", resident());
    return 0;
}

static int layout(uint64_t seed) {
    enum { SLOTS = 200 };
    static char *slots[SLOTS];
    state = seed;
    /* What was allocated and freed before main is used up, so that all comes from the heap's end. */
    static char output[1 << 20];
    setvbuf(stdout, output, _IOFBF, sizeof output);
    for (size_t size = 0; size < 4000; size += 16)
        for (int i = 0; i < 20; i++) KEEP(malloc(size));
    char *first = malloc(100000);
    for (int i = 0; i < 20000; i++) {
        char **slot = &slots[below(SLOTS)];
        size_t size = below(1 + below(3000));
        switch (below(5)) {
        case 0: free(*slot); *slot = NULL; continue;
        case 1: free(*slot); *slot = malloc(size); break;
        case 2: free(*slot); *slot = calloc(1, size); break;
        case 3: free(*slot); *slot = aligned_alloc((size_t)16 << below(6), size); break;
        case 4: *slot = realloc(*slot, size + 1); break;
        }
        printf("%td %zu\n", *slot - first, malloc_usable_size(*slot));
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 4 && !strcmp(argv[1], "blocks")) return blocks(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
    if (argc == 3 && !strcmp(argv[1], "layout")) return layout(strtoull(argv[2], NULL, 10));
    return 2;
}
