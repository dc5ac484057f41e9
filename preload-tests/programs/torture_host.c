/* torture_host HOW: prints all that a process can see of its own state, before and after allocating in every way.
   Nothing of it may differ under a profiler. */
#define _GNU_SOURCE
#include "fixture.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

FUNCTION void *ask(size_t size) {
    void *block = malloc(size);
    KEEP(block);
    return block;
}
/* errno before each call, and after it. Successful calls may not change it, and failing ones set it. */
#define WITH(value, call) \
    do { \
        errno = value; \
        void *block = (void *)(call); \
        int after = errno; \
        printf("%s: %s, errno %d -> %d\n", #call, block ? "done" : "null", value, after); \
        free(block); \
    } while (0)
static void errors(void) {
    volatile size_t huge = (size_t)1 << 60;
    void *block = NULL;
    for (int value = 0; value < 140; value += 46) {
        WITH(value, malloc(10));
        WITH(value, malloc(huge));
        WITH(value, calloc(3, 10));
        WITH(value, calloc(huge, huge));
        WITH(value, realloc(NULL, 10));
        WITH(value, realloc(malloc(10), 200000));
        WITH(value, reallocarray(NULL, 3, 10));
        WITH(value, reallocarray(NULL, huge, huge));
        WITH(value, memalign(64, 10));
        WITH(value, aligned_alloc(64, 128));
        WITH(value, valloc(10));
#ifdef __GLIBC__
        WITH(value, pvalloc(10));
#endif
        WITH(value, strdup("x"));
        WITH(value, strndup("xyz", 2));
        errno = value;
        int result = posix_memalign(&block, 64, 10);
        printf("posix_memalign %d, errno %d\n", result, errno);
        free(block);
        errno = value;
        result = posix_memalign(&block, 3, 10);
        printf("posix_memalign %d, errno %d\n", result, errno);
        errno = value;
        free(malloc(300000));
        printf("free of a mapping, errno %d\n", errno);
        errno = value;
        printf("usable %d, errno %d\n", malloc_usable_size(NULL) == 0, errno);
    }
}

static void state(void) {
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (int s = 1; s < 65; s++) putchar('0' + (sigismember(&mask, s) == 1));
    putchar('\n');
    for (int s = 1; s < 65; s++) {
        struct sigaction action;
        putchar(sigaction(s, NULL, &action) ? '-' : action.sa_handler == SIG_DFL ? 'd' : action.sa_handler == SIG_IGN ? 'i' : 'h');
    }
    stack_t alternate;
    sigaltstack(NULL, &alternate);
    printf("\nalternate stack %d\n", alternate.ss_flags);
    for (char **e = environ; *e; e++)
        if (strncmp(*e, "LD_PRELOAD=", 11) && strncmp(*e, "TMPDIR=", 7) && strncmp(*e, "HOME=", 5)) puts(*e);
    for (int fd = 0; fd < 900; fd++)
        if (fcntl(fd, F_GETFD) >= 0) printf("fd %d flags %d, %x\n", fd, fcntl(fd, F_GETFD), fcntl(fd, F_GETFL));
    mode_t mask_of_files = umask(0);
    umask(mask_of_files);
    printf("umask %o\n", mask_of_files);
    for (int which = 0; which < 3; which++) {
        struct itimerval timer;
        getitimer(which, &timer);
        printf("timer %ld.%ld\n", timer.it_interval.tv_sec, timer.it_value.tv_sec);
    }
    for (int which = 0; which < RLIM_NLIMITS; which++) {
        struct rlimit limit;
        getrlimit(which, &limit);
        printf("limit %d %lx %lx\n", which, limit.rlim_cur, limit.rlim_max);
    }
    struct sched_param param = {0};
    sched_getparam(0, &param);
    char name[17] = "";
    prctl(PR_GET_NAME, name);
    printf("%s %d %d %d %d, priority %d %d %d\n", name, prctl(PR_GET_DUMPABLE), prctl(PR_GET_KEEPCAPS),
           prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), prctl(PR_GET_PDEATHSIG, &(int){0}), sched_getscheduler(0),
           param.sched_priority, getpriority(PRIO_PROCESS, 0));
    int threads = 0;
    DIR *tasks = opendir("/proc/self/task");
    while (readdir(tasks)) threads++;
    closedir(tasks);
    printf("threads %d\n", threads - 2);
    sigset_t pending;
    sigpending(&pending);
    printf("pending %d, children %ld, alarm %u\n", sigisemptyset(&pending), (long)getpgrp() - getpid(), alarm(0));
}
static void *of_thread(void *unused) {
    errors();
    state();
    return unused;
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    if (!strcmp(how, "state")) {
        state();
        for (int i = 0; i < 1000; i++) ask(41);
        char folder[4096];
        printf("in the root: %d\n", !strcmp(getcwd(folder, sizeof folder) ? folder : "", "/"));
        state();
        pthread_t thread;
        pthread_create(&thread, NULL, of_thread, NULL);
        pthread_join(thread, NULL);
        /* A signal that is blocked and pending stays so. */
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR2);
        sigprocmask(SIG_BLOCK, &set, NULL);
        raise(SIGUSR2);
        for (int i = 0; i < 100; i++) ask(42 + i);
        state();
    } else if (!strcmp(how, "errno")) {
        errors();
        for (int i = 0; i < 100; i++) ask(41);
    } else if (!strcmp(how, "silent")) {
        for (int i = 0; i < 100; i++) ask(41);
    } else return 1;
    return 3;
}
