/* torture_loader HOW N LIBRARY...: libraries that come and go while threads allocate and fork. */
#define _GNU_SOURCE
#include "fixture.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int over;
static atomic_ulong others;

FUNCTION void *ask(size_t size) {
    void *block = malloc(size);
    KEEP(block);
    return block;
}
FUNCTION void leaf(size_t size) { free(ask(size)); NO_TAIL_CALL(); }
FUNCTION void middle(size_t size) {
    volatile char room[200];
    room[0] = 1;
    KEEP(room);
    leaf(size);
    NO_TAIL_CALL();
}
/* New sizes keep the cold paths busy, old ones the fast one. */
static void *unwinding(void *unused) {
    for (unsigned long i = 0; !atomic_load(&over); i++) {
        middle(1000 + i % 400);
        atomic_fetch_add(&others, 1);
    }
    return unused;
}
static void *forking(void *count) {
    for (int i = 0; i < *(int *)count; i++) {
        pid_t child = fork();
        if (child == 0) { for (int j = 0; j < 5; j++) ask(41); _exit(4); }
        int status;
        if (waitpid(child, &status, 0) != child || status != 4 << 8) abort();
    }
    return count;
}
FUNCTION void *using(void *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) { puts(dlerror()); exit(1); }
    void (*plugin)(void) = (void (*)(void))dlsym(library, "plugin");
    plugin();
    return library;
}

int main(int argc, char **argv) {
    if (argc < 3) return 1;
    const char *how = argv[1];
    int n = atoi(argv[2]);
    if (!strcmp(how, "storm")) {
        pthread_t threads[3];
        int forks = 50;
        pthread_create(&threads[0], NULL, unwinding, NULL);
        pthread_create(&threads[1], NULL, unwinding, NULL);
        pthread_create(&threads[2], NULL, forking, &forks);
        for (int round = 0; round < n; round++)
            for (int i = 3; i < argc; i++)
                if (dlclose(using(argv[i]))) abort();
        pthread_join(threads[2], NULL);
        over = 1;
        pthread_join(threads[0], NULL);
        pthread_join(threads[1], NULL);
        fprintf(stderr, "others %lu\n", atomic_load(&others));
    } else if (!strcmp(how, "many")) {
        void **all = calloc(argc, sizeof *all);
        for (int i = 3; i < argc; i++) all[i] = using(argv[i]);
        for (int round = 1; round < n; round++)
            for (int i = 3; i < argc; i++) ((void (*)(void))dlsym(all[i], "plugin"))();
        for (int i = argc - 1; i >= 3; i--) if (dlclose(all[i])) abort();
    } else return 1;
    puts("done");
    return 3;
}
