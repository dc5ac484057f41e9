/* thread_names HOW [N]: threads with names, each of which allocates and frees blocks of its own number
   of times.
     in-turn      alpha, beta, gamma one after another, named by prctl; 10, 100 and 1000 times
     by-others    the same, named by their maker after they have begun to allocate
     renamed      one thread that is alpha, then beta, then gamma
     unnamed      two threads without a name for each of two functions, one after another
     distinct N   N threads one after another, each with a name of its own, 10 times
     same N       N threads one after another, all of one name, 10 times
     raw          alpha, beta, gamma, named by writing to /proc
     leaks        alpha, beta, gamma; of each block the thread keeps the address in nothing
     killed       alpha, beta and one that still runs, and kills the process
     fork         a thread named alpha forks, and the child allocates 100 times
     pool         four threads at once that are all named worker, twice */
#define _GNU_SOURCE
#include "fixture.h"
#include "peak.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int keeps;
static pthread_barrier_t begun, named;

FUNCTION void take(long times) {
    for (long i = 0; i < times; i++) {
        void *block = malloc(77);
        KEEP(block);
        if (!keeps) free(block);
    }
    clear_stack();
}

static long times_of(const char *name) {
    return !strcmp(name, "alpha") ? 10 : !strcmp(name, "beta") ? 100 : 1000;
}

static void *by_prctl(void *name) {
    prctl(PR_SET_NAME, name);
    take(times_of(name));
    return NULL;
}
static void *by_maker(void *name) {
    take(3);
    pthread_barrier_wait(&begun);
    pthread_barrier_wait(&named);
    take(times_of(name) - 3);
    return NULL;
}
static void *by_file(void *name) {
    FILE *file;
    char path[64];
    take(times_of(name));
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", gettid());
    file = fopen(path, "w");
    if (file) {
        fputs(name, file);
        fclose(file);
    }
    return NULL;
}
static void *renamed(void *names) {
    for (char **name = names; *name; name++) {
        if (**name == 'b') prctl(PR_SET_NAME, *name);
        else pthread_setname_np(pthread_self(), *name);
        take(times_of(*name));
    }
    return NULL;
}
static void *first_function(void *unused) {
    take(20);
    return unused;
}
static void *second_function(void *unused) {
    take(300);
    return unused;
}
static void *ten_times(void *name) {
    pthread_setname_np(pthread_self(), name);
    take(10);
    return NULL;
}
static void *killer(void *name) {
    by_prctl(name);
    kill(getpid(), SIGKILL);
    return NULL;
}
static void *forks(void *name) {
    pid_t child;
    prctl(PR_SET_NAME, name);
    take(10);
    child = fork();
    if (child == 0) {
        take(100);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    return NULL;
}

static void in_turn(void *(*function)(void *), void *argument) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, argument)) abort();
    if (function == by_maker) {
        pthread_barrier_wait(&begun);
        pthread_setname_np(thread, argument);
        pthread_barrier_wait(&named);
    }
    pthread_join(thread, NULL);
}

int main(int argc, char **argv) {
    static char *names[] = {"alpha", "beta", "gamma", NULL};
    const char *how = argc > 1 ? argv[1] : "";
    long count = argc > 2 ? atol(argv[2]) : 0;
    void *(*function)(void *) = by_prctl;
    pthread_barrier_init(&begun, NULL, 2);
    pthread_barrier_init(&named, NULL, 2);
    keeps = !strcmp(how, "leaks");
    if (!strcmp(how, "renamed")) {
        in_turn(renamed, names);
    } else if (!strcmp(how, "unnamed")) {
        for (int i = 0; i < 2; i++) {
            in_turn(first_function, NULL);
            in_turn(second_function, NULL);
        }
    } else if (!strcmp(how, "distinct") || !strcmp(how, "same")) {
        for (long i = 0; i < count; i++) {
            char name[16];
            snprintf(name, sizeof name, "test-%ld", *how == 'd' ? i : 0);
            in_turn(ten_times, name);
        }
    } else if (!strcmp(how, "killed")) {
        in_turn(by_prctl, "alpha");
        in_turn(by_prctl, "beta");
        in_turn(killer, "gamma");
    } else if (!strcmp(how, "fork")) {
        in_turn(forks, "alpha");
    } else if (!strcmp(how, "pool")) {
        for (int round = 0; round < 2; round++) {
            pthread_t threads[4];
            for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, ten_times, "worker");
            for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
        }
    } else {
        if (!strcmp(how, "by-others")) function = by_maker;
        if (!strcmp(how, "raw")) function = by_file;
        for (char **name = names; *name; name++) in_turn(function, *name);
    }
    if (count) print_peak();
    return 0;
}
