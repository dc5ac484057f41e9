/* torture_threads HOW: threads that end, are cancelled and get their stacks in unusual ways. */
#define _GNU_SOURCE
#include "fixture.h"
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static pthread_barrier_t barrier;
static atomic_ulong asked;

FUNCTION void *ask(size_t size) {
    void *block = malloc(size);
    KEEP(block);
    return block;
}
static pthread_t start(void *(*body)(void *), void *argument, pthread_attr_t *attributes) {
    pthread_t thread;
    int error = pthread_create(&thread, attributes, body, argument);
    if (error) { printf("%d\n", error); exit(1); }
    return thread;
}
static void *at_once(void *unused) {
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 100; i++) free(ask(41));
    pthread_barrier_wait(&barrier);
    return unused;
}
static void *one(void *unused) { free(ask(41)); return unused; }
/* Cancelled at any instruction, as soon as the other thread gets to it. */
static void *until_cancelled(void *unused) {
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, NULL);
    for (;;) {
        free(ask(41));
        atomic_fetch_add(&asked, 1);
        pthread_testcancel();
    }
    return unused;
}
/* Not counted: the C library may begin the cancellation anew in the midst of it. */
static void cleanup(void *unused) { (void)unused; free(ask(43)); }
static void *asynchronously(void *unused) {
    pthread_cleanup_push(cleanup, NULL);
    for (;;) {
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
        free(ask(41));
        atomic_fetch_add(&asked, 1);
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
        /* Here it is cancelled. */
        for (volatile int i = 0; i < 100; i++) continue;
    }
    pthread_cleanup_pop(0);
    return unused;
}
static void *give(void *blocks) {
    for (int i = 0; i < 1000; i++) ((void **)blocks)[i] = ask(41 + i % 3);
    return blocks;
}
static void *take(void *blocks) {
    for (int i = 0; i < 1000; i++) free(((void **)blocks)[i]);
    return blocks;
}
static void *in_loader(void *path) {
    /* The first allocation of this thread is the loader's. */
    void *library = dlopen(path, RTLD_NOW);
    if (!library) abort();
    void *(*touch)(void) = (void *(*)(void))dlsym(library, "touch");
    void *first = touch();
    free(ask(41));
    return first;
}
static void *deep(void *unused) {
    volatile char room[6000];
    room[0] = 1;
    KEEP(room);
    free(ask(41));
    return unused;
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    int n = argc > 2 ? atoi(argv[2]) : 1;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (!strcmp(how, "at-once")) {
        pthread_t *all = calloc(n, sizeof *all);
        pthread_barrier_init(&barrier, NULL, n);
        for (int i = 0; i < n; i++) all[i] = start(at_once, NULL, NULL);
        for (int i = 0; i < n; i++) pthread_join(all[i], NULL);
    } else if (!strcmp(how, "short")) {
        for (int i = 0; i < n; i += 4) {
            pthread_t four[4];
            for (int j = 0; j < 4; j++) four[j] = start(one, NULL, NULL);
            for (int j = 0; j < 4; j++) pthread_join(four[j], NULL);
        }
    } else if (!strcmp(how, "cancel") || !strcmp(how, "cancel-async")) {
        for (int i = 0; i < n; i++) {
            unsigned long before = atomic_load(&asked);
            pthread_t thread = start(how[6] ? asynchronously : until_cancelled, NULL, NULL);
            while (atomic_load(&asked) < before + (unsigned long)(i % 7)) continue;
            pthread_cancel(thread);
            pthread_join(thread, NULL);
        }
        fprintf(stderr, "asked %lu\n", atomic_load(&asked));
    } else if (!strcmp(how, "across")) {
        void *blocks[1000];
        for (int i = 0; i < n; i++) {
            pthread_join(start(give, blocks, NULL), NULL);
            pthread_join(start(take, blocks, NULL), NULL);
        }
    } else if (!strcmp(how, "own-stack")) {
        /* The same memory for one thread after the other, from the program's heap and from a mapping
           that is gone afterwards. */
        size_t len = 64 << 10;
        char *heap = aligned_alloc(4096, len);
        for (int i = 0; i < n; i++) {
            char *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            pthread_attr_setstack(&attributes, i % 2 ? heap : map, len);
            pthread_join(start(deep, NULL, &attributes), NULL);
            munmap(map, len);
        }
    } else if (!strcmp(how, "smallest-stack")) {
        for (int i = 0; i < n; i++) {
            pthread_attr_setstacksize(&attributes, sysconf(_SC_THREAD_STACK_MIN));
            pthread_join(start(deep, NULL, &attributes), NULL);
        }
    } else if (!strcmp(how, "in-loader")) {
        void *result;
        pthread_join(start(in_loader, argv[3], NULL), &result);
        printf("%d\n", result != NULL);
    } else return 1;
    return 3;
}
