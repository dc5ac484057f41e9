/* torture_ends HOW [MORE]: begins and ends where profilers are not ready, or not any more. How often
   it asked for memory is in the file that the last argument names, where that depends on chance. */
#define _GNU_SOURCE
#include "fixture.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static const char *how;
static _Atomic unsigned long nowhere, *done = &nowhere;
static sigjmp_buf back;

FUNCTION void ask(int count) {
    for (int i = 0; i < count; i++) { KEEP(malloc(40)); ++*done; }
}
FUNCTION void early(void) { KEEP(malloc(30)); KEEP(malloc(30)); }
FUNCTION void late(void) { for (int i = 0; i < 3; i++) KEEP(malloc(50)); }

#ifdef PREINIT
/* Before the constructors of all libraries. */
static void first(void) { early(); NO_TAIL_CALL(); }
__attribute__((section(".preinit_array"), used)) static void (*preinit)(void) = first;
#endif

static int is(const char *name) { return !strcmp(how, name); }
static void once(int microseconds) {
    struct itimerval timer = {{0, 0}, {0, microseconds}};
    setitimer(ITIMER_REAL, &timer, NULL);
}
static void leave(int unused) {
    (void)unused;
    if (is("_exit-in-handler")) _exit(7);
    exit(7);
}
static void exit_anew(void) { late(); exit(9); }
static void jump(int unused) { (void)unused; siglongjmp(back, 1); }
static void *for_ever(void *unused) { for (;;) ask(1); return unused; }

int main(int argc, char **argv) {
    how = argv[1];
    ask(100);
    if (is("exit-in-handler") || is("_exit-in-handler")) {
        /* At any instruction of an allocation. */
        int fd = open(argv[3], O_RDWR);
        done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (done == MAP_FAILED) abort();
        atexit(late);
        signal(SIGALRM, leave);
        once(atoi(argv[2]));
        for (;;) ask(1);
    }
    if (is("exit-in-exit")) { atexit(exit_anew); exit(7); }
    if (is("exit_group")) { syscall(SYS_exit_group, 7); }
    if (is("abort-and-on")) {
        /* A handler of SIGABRT that does not return keeps the process alive. */
        signal(SIGABRT, jump);
        if (!sigsetjmp(back, 1)) abort();
        ask(10);
        return 7;
    }
    if (is("stop")) {
        if (write(1, "ready\n", 6) != 6) abort();
        raise(SIGSTOP);
        ask(10);
        return 7;
    }
    if (is("main-exits-alone")) {
        /* The first thread ends by a system call, the process goes on and is ended by another. */
        pthread_t thread;
        pthread_create(&thread, NULL, for_ever, NULL);
        signal(SIGALRM, SIG_DFL);
        once(50000);
        syscall(SYS_exit, 0);
    }
    return 7;
}
