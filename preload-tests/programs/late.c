/* late ROUNDS THREADS CALLS LIBRARY...: opens the libraries, runs them in THREADS threads while other threads
   allocate, and closes them, ROUNDS times. With a negative number of rounds a child of fork does it,
   and the parent ends as it does. Prints where the last round found them, and the most memory used. */
#define _GNU_SOURCE
#include "fixture.h"
#include "peak.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int calls;
static volatile int over;

static void *run(void *work) {
    ((void (*)(int))work)(calls);
    return NULL;
}
static void *noise(void *unused) {
    (void)unused;
    while (!over) {
        void *block = malloc(33);
        KEEP(block);
        free(block);
    }
    return NULL;
}
FUNCTION void *use(const char *path, int threads) {
    void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    if (!library) abort();
    void *work = dlsym(library, "work");
    pthread_t all[16];
    for (int i = 0; i < threads; i++)
        if (pthread_create(&all[i], NULL, run, work)) abort();
    for (int i = 0; i < threads; i++) pthread_join(all[i], NULL);
    if (dlclose(library)) abort();
    return work;
}

int main(int argc, char **argv) {
    static void *last[16];
    int rounds = atoi(argv[1]), threads = atoi(argv[2]);
    calls = atoi(argv[3]);
    if (rounds < 0) {
        KEEP(malloc(44));
        int status;
        pid_t child = fork();
        if (child) return waitpid(child, &status, 0) != child || status;
        rounds = -rounds;
    }
    pthread_t noisy[2];
    for (int i = 0; i < 2; i++)
        if (pthread_create(&noisy[i], NULL, noise, NULL)) abort();
    for (int round = 0; round < rounds; round++)
        for (int i = 4; i < argc; i++) last[i] = use(argv[i], threads);
    over = 1;
    for (int i = 0; i < 2; i++) pthread_join(noisy[i], NULL);
    for (int i = 4; i < argc; i++) printf("%p\n", last[i]);
    print_peak();
    return 0;
}
