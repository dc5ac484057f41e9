/* torture_threads HOW THREADS [LIBRARY]: threads that begin, live and end in ways of which profilers
   lose numbers. Prints what the program itself sees; what depends on chance goes to the file
   "asked" in TMPDIR. */
#define _GNU_SOURCE
#include "fixture.h"
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <threads.h>
#include <unistd.h>

static const char *how, *library;
static int threads;
static pthread_key_t keys[3];
static pthread_barrier_t barrier;
static _Atomic unsigned long begun, done, cleaned;
static atomic_int stop;

static int is(const char *name) { return !strcmp(how, name); }

FUNCTION void *ask(void) {
    void *block = malloc(40);
    KEEP(block);
    return block;
}
FUNCTION void work(int count) {
    for (int i = 0; i < count; i++) free(ask());
    NO_TAIL_CALL();
}
FUNCTION void in_destructor(void *unused) { (void)unused; free(ask()); NO_TAIL_CALL(); }
FUNCTION void in_cleanup(void *unused) { (void)unused; free(ask()); cleaned++; }

static pthread_t start(void *(*body)(void *), void *argument, const pthread_attr_t *attributes) {
    pthread_t thread;
    int error = pthread_create(&thread, attributes, body, argument);
    if (error) { fprintf(stderr, "pthread_create: %s\n", strerror(error)); abort(); }
    return thread;
}
static void run_all(void *(*body)(void *)) {
    pthread_t all[512];
    for (int i = 0; i < threads; i++) all[i] = start(body, (void *)(long)i, NULL);
    for (int i = 0; i < threads; i++) if (pthread_join(all[i], NULL)) abort();
}

/* The first allocation of the thread is the loader's, for the block of a dynamic TLS variable; the
   loader frees it when the thread ends. The second is in a constructor. */
static int *(*counter)(void);
static void *touches_tls(void *unused) {
    for (int i = 0; i < 10; i++) ++*counter();
    if (*counter() != 10) abort();
    work(10);
    return unused;
}
static void *loads(void *unused) {
    void *handle = dlopen(library, RTLD_NOW);
    if (!handle) abort();
    int *(*count)(void) = (int *(*)(void))dlsym(handle, "counter");
    ++*count();
    work(10);
    if (dlclose(handle)) abort();
    return unused;
}

/* Three keys, whose destructors allocate and set the keys anew as long as they are called. */
static void destructor(void *key) {
    in_destructor(NULL);
    pthread_setspecific(*(pthread_key_t *)key, key);
}
static void *with_keys(void *unused) {
    for (int i = 0; i < 3; i++) pthread_setspecific(keys[i], &keys[i]);
    return unused;
}

/* Cancelled where a call is a cancellation point. */
static void *waits(void *unused) {
    pthread_cleanup_push(in_cleanup, NULL);
    for (;;) { begun++; work(1); done++; pthread_testcancel(); }
    pthread_cleanup_pop(0);
    return unused;
}
/* Cancelled at any instruction, inside the allocation functions too. */
static void *hurries(void *unused) {
    pthread_cleanup_push(in_cleanup, NULL);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    /* The allocator that this needs never uses memory again. */
    for (int i = 0; i < 20000; i++) { begun++; work(1); done++; }
    for (;;) pause();
    pthread_cleanup_pop(0);
    return unused;
}
static void cancelled(void *(*body)(void *)) {
    for (int i = 0; i < threads; i++) {
        void *result;
        unsigned long before = done;
        pthread_t thread = start(body, NULL, NULL);
        while (done - before < 2 + (unsigned long)(i * 37 % 101)) ;
        pthread_cancel(thread);
        if (pthread_join(thread, &result) || result != PTHREAD_CANCELED) abort();
    }
    printf("%lu cleaned\n", (unsigned long)cleaned);
}

/* Blocks that one thread asks for and another one frees. */
static _Atomic(void *) slots[64];
static void *gives(void *unused) {
    for (int i = 0; i < 1000; i++) {
        void *block = ask();
        for (int at = i;; at++) {
            void *none = NULL;
            if (atomic_compare_exchange_strong(&slots[at % 64], &none, block)) break;
        }
    }
    return unused;
}
static void *takes(void *unused) {
    for (unsigned at = 0; !stop; at++) free(atomic_exchange(&slots[at % 64], NULL));
    return unused;
}

static void *works(void *unused) { work(10); return unused; }
static int works_as_c11(void *unused) { (void)unused; work(10); return 0; }
static void *works_deep(void *unused) {
    volatile char room[6000];
    room[0] = 1;
    KEEP(room);
    work(10);
    return unused;
}
/* Stacks that the program makes, and takes away when the thread is gone. */
static void on_own_stacks(size_t size) {
    for (int i = 0; i < threads; i++) {
        char *stack = i % 2 ? malloc(size)
                            : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        char *aligned = i % 2 ? (char *)(((unsigned long)stack + 63) & ~63UL) : stack;
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        if (pthread_attr_setstack(&attributes, aligned, size - (i % 2 ? 64 : 0))) abort();
        if (pthread_join(start(works_deep, NULL, &attributes), NULL)) abort();
        memset(stack, 0x5a, size);
        i % 2 ? free(stack) : (void)munmap(stack, size);
    }
}

static sem_t all_left;
static void *leaves(void *unused) { works(NULL); sem_post(&all_left); return unused; }
static void *frees(void *block) { free(block); return NULL; }
static void *ends_the_process(void *unused) {
    while (done < (unsigned long)threads) usleep(100);
    exit(7);
    return unused;
}
static void *counts(void *unused) { work(10); done++; for (;;) pause(); return unused; }

int main(int argc, char **argv) {
    how = argv[1];
    threads = atoi(argv[2]);
    library = argc > 3 ? argv[3] : NULL;
    setvbuf(stdout, NULL, _IONBF, 0);
    pthread_barrier_init(&barrier, NULL, threads);
    sem_init(&all_left, 0, 0);
    if (is("tls-of-library")) {
        void *handle = dlopen(library, RTLD_NOW);
        if (!handle) { puts(dlerror()); return 1; }
        counter = (int *(*)(void))dlsym(handle, "counter");
        run_all(touches_tls);
    }
    else if (is("loads")) for (int i = 0; i < threads; i++) pthread_join(start(loads, NULL, NULL), NULL);
    else if (is("keys")) {
        for (int i = 0; i < 3; i++) pthread_key_create(&keys[i], destructor);
        run_all(with_keys);
    }
    else if (is("cancel")) cancelled(waits);
    else if (is("cancel-at-once")) cancelled(hurries);
    else if (is("across")) {
        pthread_t taker[2] = {start(takes, NULL, NULL), start(takes, NULL, NULL)};
        run_all(gives);
        stop = 1;
        for (int i = 0; i < 2; i++) pthread_join(taker[i], NULL);
    }
    else if (is("own-stacks")) on_own_stacks(256 << 10);
    else if (is("smallest-stacks")) on_own_stacks(PTHREAD_STACK_MIN + 64);
    else if (is("c11"))
        for (int i = 0; i < threads; i++) {
            thrd_t thread;
            int result;
            if (thrd_create(&thread, works_as_c11, NULL) || thrd_join(thread, &result) || result) abort();
        }
    else if (is("main-leaves-first")) {
        for (int i = 0; i < threads; i++) pthread_detach(start(works, NULL, NULL));
        pthread_exit(NULL);
    }
    else if (is("detached-at-once")) {
        for (int i = 0; i < threads; i++) pthread_detach(start(leaves, NULL, NULL));
        for (int i = 0; i < threads; i++) sem_wait(&all_left);
    }
    else if (is("frees-only"))
        for (int i = 0; i < threads; i++) pthread_join(start(frees, ask(), NULL), NULL);
    else if (is("exit-by-thread")) {
        for (int i = 0; i < threads; i++) start(counts, NULL, NULL);
        start(ends_the_process, NULL, NULL);
        pthread_exit(NULL);
    }
    else return 1;
    char path[4096];
    snprintf(path, sizeof path, "%s/asked", getenv("TMPDIR"));
    FILE *file = fopen(path, "w");
    fprintf(file, "%lu %lu\n", (unsigned long)begun, (unsigned long)done);
    fclose(file);
    return 7;
}
