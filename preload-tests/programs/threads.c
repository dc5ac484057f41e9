/* threads HOW THREADS ALLOCATIONS: that many threads make that many allocations each. */
#define _GNU_SOURCE
#include "fixture.h"
#include "peak.h"
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int allocations, threads;
static sem_t done;
static pthread_key_t key;
static pthread_barrier_t barrier;

FUNCTION void ask(void) {
    void *block = malloc(40);
    KEEP(block);
    free(block);
}
FUNCTION void work(void) {
    for (int i = 0; i < allocations; i++) ask();
    NO_TAIL_CALL();
}
static void *together(void *unused) { pthread_barrier_wait(&barrier); work(); return unused; }
static void *simple(void *unused) { work(); return unused; }
static void *by_pthread_exit(void *unused) { work(); pthread_exit(unused); }
static void *detached(void *unused) { work(); sem_post(&done); return unused; }
static void *endless(void *unused) { work(); sem_post(&done); for (;;) pause(); return unused; }
FUNCTION void ask_for_ever(void) {
    for (int first = 1;; first = 0) {
        void *block = malloc(99);
        KEEP(block);
        free(block);
        /* Not before: the process may end before this thread runs again. */
        if (first) sem_post(&done);
    }
}
static void *busy(void *unused) { work(); ask_for_ever(); return unused; }
static void *with_key(void *unused) { work(); pthread_setspecific(key, &key); return unused; }

/* Runs in the last moments of a thread, as often as the standard allows. */
FUNCTION void at_thread_end(void *unused) {
    (void)unused;
    KEEP(malloc(50));
    pthread_setspecific(key, &key);
}

static pthread_t start(void *(*body)(void *)) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, body, NULL)) abort();
    return thread;
}
static void run_all(void *(*body)(void *)) {
    pthread_t *all = calloc(threads, sizeof *all);
    for (int i = 0; i < threads; i++) all[i] = start(body);
    for (int i = 0; i < threads; i++) if (pthread_join(all[i], NULL)) abort();
}

int main(int argc, char **argv) {
    if (argc != 4) return 1;
    const char *how = argv[1];
    threads = atoi(argv[2]);
    allocations = atoi(argv[3]);
    sem_init(&done, 0, 0);
    pthread_barrier_init(&barrier, NULL, threads);
    pthread_key_create(&key, at_thread_end);
    if (!strcmp(how, "together")) run_all(together);
    else if (!strcmp(how, "pthread_exit")) run_all(by_pthread_exit);
    else if (!strcmp(how, "key")) run_all(with_key);
    else if (!strcmp(how, "in-turn"))
        for (int i = 0; i < threads; i++) pthread_join(start(simple), NULL);
    else {
        void *(*body)(void *) = !strcmp(how, "detached") ? detached : !strcmp(how, "busy") ? busy : endless;
        for (int i = 0; i < threads; i++) {
            pthread_t thread = start(body);
            if (!strcmp(how, "detached")) pthread_detach(thread);
        }
        for (int i = 0; i < threads; i++) sem_wait(&done);
    }
    print_peak();
    return 0;
}
