/* torture_forks HOW: processes that come from each other in every way. Each child makes a known number of
   allocations; prints what the parent sees of its children. */
#define _GNU_SOURCE
#include "fixture.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static atomic_int over;

FUNCTION void ask(int count) {
    for (int i = 0; i < count; i++) {
        void *block = malloc(41);
        KEEP(block);
        free(block);
    }
    NO_TAIL_CALL();
}
FUNCTION void ask_in_child(int count) {
    for (int i = 0; i < count; i++) KEEP(malloc(51));
    NO_TAIL_CALL();
}
static void *noise(void *unused) {
    /* Sizes that are always new keep the cold paths, with their locks, in use. */
    for (size_t size = 100; !atomic_load(&over); size = size < 60000 ? size + 1 : 100) free(malloc(size));
    return unused;
}
static int status_of(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0) if (errno != EINTR) abort();
    return status;
}
static void in_handler(int signal) {
    pid_t child = fork();
    if (child == 0) { ask_in_child(6); _exit(signal); }
    int before = errno;
    printf("%x\n", status_of(child));
    errno = before;
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    int n = argc > 2 ? atoi(argv[2]) : 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!strcmp(how, "work")) { ask(n); puts("worked"); return 3; }
    ask(100);
    if (!strcmp(how, "from-threads")) {
        pthread_t threads[4];
        for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, noise, NULL);
        int bad = 0;
        for (int i = 0; i < n; i++) {
            pid_t child = fork();
            if (child == 0) { ask_in_child(5); _exit(i % 50); }
            bad += status_of(child) != (i % 50) << 8;
        }
        over = 1;
        for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
        printf("bad %d\n", bad);
    } else if (!strcmp(how, "in-handler")) {
        signal(SIGUSR1, in_handler);
        for (int i = 0; i < n; i++) raise(SIGUSR1);
    } else if (!strcmp(how, "clone")) {
        for (int i = 0; i < n; i++) {
            long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
            if (child == 0) { ask_in_child(5); _exit(4); }
            printf("%x\n", status_of(child));
        }
    } else if (!strcmp(how, "spawn")) {
        for (int i = 0; i < n; i++) {
            pid_t child;
            char *args[] = {argv[0], "work", "12", NULL};
            if (posix_spawn(&child, "/proc/self/exe", NULL, NULL, args, environ)) abort();
            printf("%x\n", status_of(child));
        }
    } else if (!strcmp(how, "daemon")) {
        /* The pipe tells the parent that the daemon is done. */
        int done[2];
        if (pipe(done)) abort();
        pid_t child = fork();
        if (child == 0) {
            setsid();
            if (fork()) _exit(0);
            if (chdir("/")) _exit(1);
            umask(0);
            for (int fd = 0; fd < 256; fd++) if (fd != done[1]) close(fd);
            ask_in_child(9);
            if (open("/dev/null", O_RDWR) != 0) _exit(1);
            exit(0);
        }
        close(done[1]);
        char byte;
        printf("%x %zd\n", status_of(child), read(done[0], &byte, 1));
    } else if (!strcmp(how, "scrubbed") || !strcmp(how, "edited")) {
        char *nothing[] = {NULL};
        char *some[] = {getenv("LD_PRELOAD") ? "TMPDIR=/tmp/does/not/exist" : "A=B", "PATH=/bin", NULL};
        char *args[] = {argv[0], "work", "12", NULL};
        pid_t child = fork();
        if (child == 0) {
            ask_in_child(2);
            execve("/proc/self/exe", args, how[0] == 's' ? nothing : some);
            _exit(1);
        }
        printf("%x\n", status_of(child));
    } else if (!strcmp(how, "outlives")) {
        /* The child ends only when the parent has: its end of the pipe is closed then. */
        int alive[2], done[2];
        if (pipe(alive) || pipe(done)) abort();
        if (fork() == 0) {
            char byte;
            close(alive[1]);
            if (read(alive[0], &byte, 1) != 0) _exit(1);
            ask_in_child(8);
            exit(0);
        }
    } else if (!strcmp(how, "chain")) {
        /* fork, exec, fork, exec... */
        if (n == 0) return 5;
        pid_t child = fork();
        char next[16];
        snprintf(next, sizeof next, "%d", n - 1);
        if (child == 0) { execl("/proc/self/exe", argv[0], "chain", next, (char *)0); _exit(1); }
        printf("%x\n", status_of(child));
    } else return 1;
    return 3;
}
