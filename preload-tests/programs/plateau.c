// Holds 500 MB for so many milliseconds, alone or in the midst of a run that allocates all the time.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
static void pass(double seconds, int busy) {
    static void *ring[64]; static unsigned at;
    double end = now() + seconds;
    if (!busy) { struct timespec t = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)}; nanosleep(&t, 0); return; }
    while (now() < end) { free(ring[at % 64]); ring[at % 64] = malloc(100 + at % 900); at++; struct timespec t = {0, 20000}; if (at % 16 == 0) nanosleep(&t, 0); }
}
int main(int argc, char **argv) {
    double before = atof(argv[1]), held = atof(argv[2]), after = atof(argv[3]);
    int busy = atoi(argv[4]);
    double start = now();
    pass(before, busy);
    char *block = malloc(500000000);
    double begin = now();
    for (long at = 0; at < 500000000; at += 4096) ((volatile char *)block)[at] = 1;
    pass(held, busy);
    double end = now();
    free(block);
    pass(after, busy);
    // When it was, whatever else the machine does. Nothing is allocated for that.
    dprintf(1, "%f %f %f\n", begin - start, end - begin, now() - start);
    return block == 0;
}
