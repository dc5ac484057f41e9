/* torture_life HOW: ends in ways of which profilers lose numbers. Prints what the program itself sees. */
#define _GNU_SOURCE
#include "fixture.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#ifdef __GLIBC__
extern int __cxa_thread_atexit_impl(void (*)(void *), void *, void *);
#else
/* musl has none; compilers for it use keys, whose destructors do not run for the main thread at exit. */
static int __cxa_thread_atexit_impl(void (*f)(void *), void *unused, void *object) {
    (void)unused;
    pthread_key_t key;
    return pthread_key_create(&key, f) || pthread_setspecific(key, object);
}
#endif
extern void *__dso_handle;

FUNCTION void ask(int count) {
    for (int i = 0; i < count; i++) KEEP(malloc(41));
    NO_TAIL_CALL();
}
static void late(void) { ask(7); }
static void very_late(void) { atexit(late); ask(5); }
#ifdef __GLIBC__
static void on_exit_late(int status, void *unused) { (void)unused; ask(status); }
#else
/* musl has no on_exit. */
static void on_exit_late(void) { ask(9); }
#define on_exit(f, unused) atexit(f)
#endif
static void of_thread(void *unused) { (void)unused; ask(3); }
static void *allocating(void *ready) {
    atomic_store((atomic_int *)ready, 1);
    for (;;) free(malloc(99));
    return NULL;
}
static void *with_destructor(void *unused) {
    __cxa_thread_atexit_impl(of_thread, NULL, &__dso_handle);
    ask(2);
    return unused;
}
/* Runs after the destructors of all libraries that were there when it registered. */
__attribute__((destructor(101))) static void last_destructor(void) { ask(11); }
__attribute__((constructor(101))) static void first_constructor(void) { ask(13); }

static void no_core(void) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
}
static void handler(int signal) {
    ask(4);
    _exit(signal);
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    pthread_t thread;
    no_core();
    ask(100);
    printf("%s\n", how);
    fflush(stdout);
    if (!strcmp(how, "return")) return 7;
    if (!strcmp(how, "handlers-of-handlers")) { atexit(very_late); on_exit(on_exit_late, NULL); exit(9); }
    if (!strcmp(how, "main-thread-destructor")) {
        __cxa_thread_atexit_impl(of_thread, NULL, &__dso_handle);
        exit(7);
    }
    if (!strcmp(how, "thread-destructor")) {
        pthread_create(&thread, NULL, with_destructor, NULL);
        pthread_join(thread, NULL);
        return 7;
    }
    if (!strcmp(how, "abort")) abort();
    if (!strcmp(how, "term")) raise(SIGTERM);
    if (!strcmp(how, "segv")) *(volatile int *)8 = 1;
    if (!strcmp(how, "fpe")) raise(SIGFPE);
    if (!strcmp(how, "segv-handler")) { signal(SIGSEGV, handler); *(volatile int *)8 = 1; }
    if (!strcmp(how, "busy-exit")) {
        for (int i = 0; i < 4; i++) {
            atomic_int ready = 0;
            pthread_create(&thread, NULL, allocating, &ready);
            while (!atomic_load(&ready)) sched_yield();
        }
        exit(7);
    }
    if (!strcmp(how, "count")) {
        /* Counts its calls where a reader finds them after a kill. */
        int fd = open(argv[2], O_RDWR);
        _Atomic unsigned long *done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (done == MAP_FAILED) abort();
        for (;;) {
            void *block = malloc(1000);
            KEEP(block);
            atomic_fetch_add(done, 1);
            free(block);
        }
    }
#ifdef __GLIBC__
    if (!strcmp(how, "deepbind") || !strcmp(how, "namespace")) {
        /* The library's malloc is not the program's. */
        void *library = how[0] == 'd' ? dlopen(argv[2], RTLD_NOW | RTLD_DEEPBIND)
                                      : dlmopen(LM_ID_NEWLM, argv[2], RTLD_NOW);
        if (!library) { puts(dlerror()); return 1; }
        ((void (*)(void))dlsym(library, "plugin"))();
        return dlclose(library);
    }
#endif
    return 1;
}
