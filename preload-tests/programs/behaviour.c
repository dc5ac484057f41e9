/* Prints what each call returns, does to errno and to the block: the same with and without the
   library. Some calls fail; none of those may be counted. */
#define _GNU_SOURCE
#include "fixture.h"
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <unistd.h>

/* snprintf to a buffer of ours does not allocate. */
static void say(const char *what, void *block, int result) {
    int error = errno;
    /* The room behind an aligned block depends on where the heap happens to be. */
    size_t usable = block && !strstr(what, "align") && !strstr(what, "valloc")
                        ? malloc_usable_size(block) : 0;
    int alignment = block ? __builtin_ctzl((uintptr_t)block | 1ul << 12) : -1;
    char line[200];
    /* Alignment beyond what was asked for depends on where the heap starts: cut at 16. */
    int length = snprintf(line, sizeof line, "%s: %s errno %d result %d usable %zu aligned %d\n",
                          what, block ? "block" : "NULL", error, result, usable,
                          alignment > 4 ? 4 : alignment);
    if (write(1, line, length) != length) abort();
    errno = 77;
}

#define SAY(call) do { errno = 77; void *block = (call); KEEP(block); say(#call, block, 0); } while (0)

static volatile size_t HUGE_SIZE = SIZE_MAX / 2, HALF = SIZE_MAX / 4 + 2;

FUNCTION void *make_block(void) {
    void *block = malloc(333);
    KEEP(block);
    return block;
}

FUNCTION void succeeding(void) {
    for (size_t size = 0; size < 200; size += 13) SAY(malloc(size));
    SAY(malloc(1 << 20));
    SAY(calloc(7, 9));
    SAY(realloc(NULL, 50));
    SAY(realloc(malloc(40), 4000));
    SAY(realloc(malloc(4000), 40));
    SAY(reallocarray(malloc(10), 10, 10));
    SAY(aligned_alloc(64, 640));
    SAY(memalign(128, 5));
    SAY(valloc(5));
#ifdef __GLIBC__
    SAY(pvalloc(5));
#endif
    void *block = NULL;
    int result = posix_memalign(&block, 1024, 6);
    say("posix_memalign", block, result);
    if ((uintptr_t)block % 1024) abort();
    if ((uintptr_t)memalign(4096, 1) % 4096) abort();
    if ((uintptr_t)aligned_alloc(256, 512) % 256) abort();
    char *zeroed = calloc(1000, 10);
    for (int i = 0; i < 10000; i++) if (zeroed[i]) abort();
    char *grown = malloc(100);
    memset(grown, 'x', 100);
    grown = realloc(grown, 100000);
    for (int i = 0; i < 100; i++) if (grown[i] != 'x') abort();
}

FUNCTION void failing(void) {
    void *own_block = make_block();
    SAY(malloc(HUGE_SIZE));
    SAY(calloc(HALF, 8));
    SAY(calloc(HUGE_SIZE, 1));
    SAY(realloc(NULL, HUGE_SIZE));
    SAY(reallocarray(NULL, HALF, 8));
    SAY(aligned_alloc(64, HUGE_SIZE));
    SAY(memalign(64, HUGE_SIZE));
    SAY(memalign(HUGE_SIZE + 1, 1));
    SAY(valloc(HUGE_SIZE));
#ifdef __GLIBC__
    SAY(pvalloc(HUGE_SIZE));
    SAY(pvalloc(SIZE_MAX));
#endif
    /* Those that fail leave the block alone. */
    SAY(realloc(own_block, HUGE_SIZE));
    SAY(reallocarray(own_block, HALF, 8));
    SAY(realloc(own_block, 0)); /* frees it and returns NULL: no allocation */
    size_t alignments[] = {0, 3, 4, 24, 64};
    for (int i = 0; i < 5; i++) {
        void *untouched = (void *)0x1234;
        int result = posix_memalign(&untouched, alignments[i], HUGE_SIZE);
        say(untouched == (void *)0x1234 ? "posix_memalign" : "changed", NULL, result);
    }
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "failing") == 0) failing();
    else succeeding();
    return 0;
}
