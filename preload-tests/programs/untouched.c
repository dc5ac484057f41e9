/* Asks for 64 MiB of zeros that it never touches, and prints how much memory it has, in kilobytes rounded up to
   mebibytes. */
#define _GNU_SOURCE
#include "fixture.h"
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    char *block = calloc(64, 1 << 20);
    if (!block) abort();
    KEEP(block);
    FILE *file = fopen("/proc/self/statm", "r");
    long pages, resident, shared;
    if (!file || fscanf(file, "%ld %ld %ld", &pages, &resident, &shared) != 3) abort();
    /* What is no file's: the profiler's pages are, too, but few. */
    printf("%ld\n", ((resident - shared) * 4 + 1023) / 4096 * 4096);
    return 0;
}
