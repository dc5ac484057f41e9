/* Ends in the way that the argument names, after a known number of allocations. */
#define _GNU_SOURCE
#include "fixture.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

FUNCTION void work(int count) {
    for (int i = 0; i < count; i++) KEEP(malloc(40));
    NO_TAIL_CALL();
}
FUNCTION void child_work(int count) {
    for (int i = 0; i < count; i++) KEEP(malloc(50));
    NO_TAIL_CALL();
}
FUNCTION void at_the_end(void) {
    for (int i = 0; i < 3; i++) KEEP(malloc(60));
    NO_TAIL_CALL();
}
FUNCTION void in_destructor(void) {
    for (int i = 0; i < 4; i++) KEEP(malloc(70));
    NO_TAIL_CALL();
}
__attribute__((destructor)) static void destructor(void) { in_destructor(); NO_TAIL_CALL(); }
__attribute__((constructor)) FUNCTION void in_constructor(void) { KEEP(malloc(30)); }

static void close_all(void) { close(1); close(2); }
static void *exiting(void *unused) { exit(7); return unused; }
static void *waiting(void *unused) { for (;;) pause(); return unused; }

static void wait_for(pid_t child) {
    int status;
    if (waitpid(child, &status, 0) != child || status) abort();
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    pthread_t thread;
    work(1000);
    if (!strcmp(how, "return")) return 7;
    if (!strcmp(how, "exit")) exit(7);
    if (!strcmp(how, "_exit")) _exit(7);
    if (!strcmp(how, "_Exit")) _Exit(7);
    if (!strcmp(how, "quick_exit")) { at_quick_exit(at_the_end); quick_exit(7); }
    if (!strcmp(how, "exit-in-thread")) {
        pthread_create(&thread, NULL, exiting, NULL);
        for (;;) pause();
    }
    if (!strcmp(how, "pthread_exit")) pthread_exit(NULL);
    if (!strcmp(how, "threads-left")) {
        for (int i = 0; i < 8; i++) pthread_create(&thread, NULL, waiting, NULL);
        return 7;
    }
    if (!strcmp(how, "atexit")) { atexit(at_the_end); return 7; }
    if (!strcmp(how, "abort")) abort();
    if (!strcmp(how, "segv")) *(volatile int *)8 = 1;
    if (!strcmp(how, "kill")) kill(getpid(), SIGKILL);
    if (!strcmp(how, "term")) kill(getpid(), SIGTERM);
    if (!strcmp(how, "pause")) {
        if (write(1, "ready\n", 6) != 6) abort();
        for (;;) pause();
    }
    if (!strcmp(how, "fork")) {
        pid_t child = fork();
        if (child == 0) { child_work(500); exit(0); }
        wait_for(child);
        work(10);
        return 7;
    }
    if (!strcmp(how, "fork-_exit")) {
        pid_t child = fork();
        if (child == 0) { child_work(500); _exit(0); }
        wait_for(child);
        return 7;
    }
    if (!strcmp(how, "fork-fork")) {
        pid_t child = fork();
        if (child == 0) {
            child_work(500);
            pid_t grandchild = fork();
            if (grandchild == 0) { child_work(20); exit(0); }
            wait_for(grandchild);
            exit(0);
        }
        wait_for(child);
        return 7;
    }
    if (!strcmp(how, "vfork")) {
        pid_t child = vfork();
        if (child == 0) _exit(0);
        wait_for(child);
        work(10);
        return 7;
    }
    if (!strcmp(how, "vfork-exec")) {
        pid_t child = vfork();
        if (child == 0) { execl("/bin/true", "sh", (char *)0); _exit(1); }
        wait_for(child);
        work(10);
        return 7;
    }
    if (!strcmp(how, "fork-exec")) {
        pid_t child = fork();
        if (child == 0) { child_work(5); execl("/bin/true", "sh", (char *)0); _exit(1); }
        wait_for(child);
        work(10);
        return 7;
    }
    if (!strcmp(how, "exec-self")) { execl("/proc/self/exe", argv[0], "return", (char *)0); }
    if (!strcmp(how, "close-early")) { close_all(); return 7; }
    if (!strcmp(how, "close-at-exit")) { atexit(close_all); return 7; }
    if (!strcmp(how, "file-as-2")) {
        /* Descriptor 2 is free from the start, or freed here: the next file gets it. */
        close(2);
        if (open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0600) != 2) return 1;
        return write(2, "data\n", 5) == 5 ? 7 : 1;
    }
    if (!strcmp(how, "close-range")) { /* what daemons do */
        for (int fd = 0; fd < 1024; fd++) close(fd);
        int fds[20];
        for (int i = 0; i < 20; i++) fds[i] = open(argv[2], O_WRONLY | O_CREAT | O_APPEND, 0600);
        work(10);
        return fds[0] == 0 ? 7 : 1;
    }
    return 1;
}
