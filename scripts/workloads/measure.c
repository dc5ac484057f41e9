/* measure FILE PROGRAM ARGUMENT...: runs the program and writes to FILE its wall time and processor
   time in seconds, its largest resident set in kB, and its exit status.

   A small process of its own, because a child's largest resident set counts from the fork on, and
   that of the Python program which asks would hide that of small programs. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static double seconds(struct timeval time) { return time.tv_sec + time.tv_usec * 1e-6; }

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    /* For the program alone, not for this one. */
    const char *preload = getenv("MEASURE_PRELOAD");
    double start = now();
    pid_t child = fork();
    if (child == 0) {
        unsetenv("MEASURE_PRELOAD");
        if (preload) setenv("LD_PRELOAD", preload, 1);
        execvp(argv[2], argv + 2);
        _exit(127);
    }
    int status;
    struct rusage usage;
    if (child < 0 || wait4(child, &status, 0, &usage) != child) return 2;
    double wall = now() - start;
    FILE *file = fopen(argv[1], "w");
    if (!file) return 2;
    fprintf(file, "%.9f %.6f %ld %d\n", wall, seconds(usage.ru_utime) + seconds(usage.ru_stime),
            usage.ru_maxrss, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return fclose(file) ? 2 : 0;
}
