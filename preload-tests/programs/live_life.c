/* Blocks whose life goes beyond that of a thread, or into another process. Each kind has a size of its own.
 *
 * live_life fork | threads | heirs | end
 */
#include "fixture.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

FUNCTION void *ask(size_t size) {
    void *block = malloc(size);
    if (!block) abort();
    KEEP(block);
    return block;
}

/* The child frees its parent's blocks, which its own recording does not know. */
static int fork_(void) {
    void *blocks[10];
    for (int i = 0; i < 10; i++) blocks[i] = ask(2001);
    for (int i = 0; i < 4; i++) free(blocks[i]);
    pid_t child = fork();
    if (!child) {
        void *own[5];
        for (int i = 0; i < 5; i++) own[i] = ask(2003);
        for (int i = 4; i < 7; i++) free(blocks[i]);
        for (int i = 0; i < 2; i++) free(own[i]);
        KEEP(realloc(blocks[7], 20005));
        exit(0);
    }
    int status;
    if (waitpid(child, &status, 0) != child || status) abort();
    free(blocks[8]);
    return 0;
}

static pthread_key_t key;
static void *left[50];

/* Runs when the thread has nothing of the profiler's any more. */
static void at_thread_end(void *block) {
    static int number;
    free(block);
    left[__atomic_fetch_add(&number, 1, __ATOMIC_RELAXED)] = ask(2013);
    free(ask(2015));
}

static void *thread(void *unused) {
    pthread_setspecific(key, ask(2011));
    return unused;
}

static int threads(void) {
    pthread_t ids[50];
    pthread_key_create(&key, at_thread_end);
    for (int i = 0; i < 50; i++) {
        if (pthread_create(&ids[i], NULL, thread, NULL)) abort();
        if (i % 2) pthread_join(ids[i], NULL);
    }
    for (int i = 0; i < 50; i += 2) pthread_join(ids[i], NULL);
    for (int i = 0; i < 50; i++) free(left[i]);
    return 0;
}

static void *leave(void *unused) {
    (void)unused;
    return ask(2023);
}

static void *inherit(void *block) {
    free(block);
    return NULL;
}

/* The last block of a thread that has ended, freed by one that has done nothing else. */
static int heirs(void) {
    for (int i = 0; i < 3; i++) {
        pthread_t id;
        void *block;
        if (pthread_create(&id, NULL, leave, NULL) || pthread_join(id, &block)) abort();
        if (pthread_create(&id, NULL, inherit, block) || pthread_join(id, NULL)) abort();
    }
    return 0;
}

static void *for_exit, *for_destructor;
static void at_exit(void) { free(for_exit); }
__attribute__((destructor)) static void destructor(void) {
    free(for_destructor);
    if (for_destructor) KEEP(ask(2021));
}

static int end(void) {
    for_exit = ask(2017);
    for_destructor = ask(2019);
    return atexit(at_exit);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    if (!strcmp(argv[1], "fork")) return fork_();
    if (!strcmp(argv[1], "threads")) return threads();
    if (!strcmp(argv[1], "heirs")) return heirs();
    return strcmp(argv[1], "end") ? 2 : end();
}
