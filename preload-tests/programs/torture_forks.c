/* torture_forks HOW [MORE]: makes processes in ways of which profilers lose numbers or hang. Prints
   what the program itself sees; how often it asked for memory, where that depends on chance, goes
   to the file "asked" in TMPDIR. */
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
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static const char *how;
static char *self;
static atomic_int stop;
static _Atomic unsigned long asked;

FUNCTION void ask(void) {
    void *block = malloc(41);
    KEEP(block);
    free(block);
}
FUNCTION void child_ask(int count) {
    for (int i = 0; i < count; i++) {
        void *block = malloc(51);
        KEEP(block);
        free(block);
    }
}
FUNCTION void handler_ask(void) { KEEP(malloc(61)); NO_TAIL_CALL(); }

static int is(const char *name) { return !strcmp(how, name); }
static void work(int count) { for (int i = 0; i < count; i++) ask(); asked += count; }

static void wait_for(pid_t child, int expected) {
    int status;
    while (waitpid(child, &status, 0) != child) if (errno != EINTR) { perror("waitpid"); abort(); }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != expected) {
        fprintf(stderr, "child: status %#x\n", status);
        abort();
    }
}
static void note_asked(void) {
    char path[4096];
    snprintf(path, sizeof path, "%s/asked", getenv("TMPDIR"));
    FILE *file = fopen(path, "w");
    fprintf(file, "%lu\n", asked);
    fclose(file);
}

static void *allocating(void *unused) {
    unsigned long mine = 0;
    for (; !stop; mine++) ask();
    asked += mine;
    return unused;
}
/* Sizes that are always new keep what the profiler does once for each site, with its locks, in use. */
static void *noise(void *unused) {
    for (size_t size = 100; !stop; size = size < 60000 ? size + 1 : 100) {
        void *block = malloc(size);
        KEEP(block);
        free(block);
    }
    return unused;
}
static void one_of_many_threads(int times, int vforked) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, i ? allocating : noise, NULL);
    for (int i = 0; i < times; i++) {
        pid_t child;
        if (vforked) {
            if (!(child = vfork())) { execl("/proc/self/exe", self, "nothing", (char *)0); _exit(1); }
        } else if (!(child = fork())) {
            child_ask(10);
            if (i % 2) _exit(3);
            exit(3);
        }
        wait_for(child, 3);
    }
    stop = 1;
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    printf("%d children\n", times);
}

/* Forks in a handler, which may interrupt the main loop at any instruction of an allocation. */
static volatile sig_atomic_t forks, most, in_child, goes_on;
static void again(void) {
    static unsigned random = 1;
    random = random * 1103515245 + 12345;
    struct itimerval soon = {{0, 0}, {0, 20 + (random >> 16) % 100}};
    setitimer(ITIMER_REAL, &soon, NULL);
}
static void on_alarm(int unused) {
    (void)unused;
    int error = errno;
    pid_t child = fork();
    if (!child) {
        if (goes_on != 2) child_ask(3);
        if (!goes_on) _exit(0);
        in_child = 1;
    } else {
        wait_for(child, 0);
        if (++forks < most) again();
    }
    errno = error;
}
static void from_a_handler(int times) {
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    most = times;
    again();
    unsigned long mine = 0;
    while (forks < times && !in_child) { ask(); mine++; }
    if (in_child) { child_ask(2); _exit(0); }
    asked += mine;
    printf("%d children\n", times);
}

static int body_of_clone(void *unused) {
    (void)unused;
    child_ask(10);
    return 0;
}
static void cloned(int flags) {
    static _Alignas(16) char stack[256 << 10];
    wait_for(clone(body_of_clone, stack + sizeof stack, flags | SIGCHLD, NULL), 0);
}
static void raw_clone(void) {
    pid_t child = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (!child) { child_ask(10); _exit(0); }
    wait_for(child, 0);
}

/* As daemons do it by hand. */
static void daemonise(const char *log) {
    if (fork()) _exit(0);
    setsid();
    if (fork()) _exit(0);
    if (chdir("/")) abort();
    umask(0);
    for (int fd = 0; fd < 1024; fd++) close(fd);
    if (open("/dev/null", O_RDWR) != 0 || dup(0) != 1) abort();
    if (open(log, O_WRONLY | O_CREAT | O_APPEND, 0600) != 2) abort();
    child_ask(100);
    fprintf(stderr, "the daemon's own line\n");
}
static void late(void) { child_ask(7); }

static void run_itself(char *const environment[]) {
    char *const arguments[] = {self, "nothing", NULL};
    execve("/proc/self/exe", arguments, environment);
    abort();
}
static void *executes(void *unused) { work(10); run_itself(environ); return unused; }

static void before(void) { handler_ask(); }
static void after_in_parent(void) { handler_ask(); handler_ask(); }
static void after_in_child(void) { handler_ask(); handler_ask(); handler_ask(); }

static void generation(int left) {
    child_ask(1);
    if (!left) return;
    pid_t child = fork();
    if (!child) { generation(left - 1); exit(0); }
    wait_for(child, 0);
    child_ask(1);
}

int main(int argc, char **argv) {
    how = argc > 1 ? argv[1] : "";
    self = argv[0];
    int times = argc > 2 ? atoi(argv[2]) : 0;
    pid_t child;
    setvbuf(stdout, NULL, _IONBF, 0);
    if (is("nothing")) { child_ask(5); return 3; }
    if (is("chain")) { /* fork, exec, fork, exec ... */
        char left[16], *const arguments[] = {self, "chain", left, NULL};
        child_ask(1);
        if (!times) return 3;
        snprintf(left, sizeof left, "%d", times - 1);
        if (!(child = fork())) { execv("/proc/self/exe", arguments); abort(); }
        wait_for(child, 3);
        return 3;
    }
    work(100);
    if (is("threads")) one_of_many_threads(times, 0);
    else if (is("threads-vfork")) one_of_many_threads(times, 1);
    else if (is("handler")) from_a_handler(times);
    else if (is("handler-goes-on")) { goes_on = 1; from_a_handler(times); }
    else if (is("handler-goes-on-at-once")) { goes_on = 2; from_a_handler(times); }
    else if (is("vfork")) {
        if (!(child = vfork())) { child_ask(10); _exit(0); }
        wait_for(child, 0);
    }
    else if (is("raw-clone")) raw_clone();
    else if (is("clone")) cloned(0);
    else if (is("clone-vm")) cloned(CLONE_VM);
    else if (is("clone-vm-vfork")) cloned(CLONE_VM | CLONE_VFORK);
    else if (is("spawn")) {
        char *const arguments[] = {self, "nothing", NULL};
        for (int i = 0; i < times; i++) {
            if (posix_spawn(&child, "/proc/self/exe", NULL, NULL, arguments, environ)) abort();
            wait_for(child, 3);
        }
    }
    else if (is("daemon")) { daemonise(argv[2]); return 5; }
    else if (is("daemon-of-libc")) {
        if (daemon(0, 0)) abort();
        child_ask(100);
        return 5;
    }
    else if (is("outlived")) {
        /* The child goes on when its parent is gone, and allocates in an exit handler too. */
        pid_t parent = getpid();
        if (!fork()) {
            while (getppid() == parent) usleep(1000);
            atexit(late);
            child_ask(100);
            exit(5);
        }
    }
    else if (is("exec-fails")) {
        char *const arguments[] = {"nothing", NULL};
        for (int i = 0; i < 10; i++) {
            execve("/nonexistent", arguments, environ);
            printf("errno %d\n", errno);
            work(10);
        }
    }
    else if (is("scrubbed") || is("edited") || is("cleared")) {
        char *none[] = {NULL}, *preload = getenv("LD_PRELOAD");
        char folder[4096], *edited[] = {"FIRST=1", folder, (preload ? preload - 11 : "NONE="), "LAST=2", NULL};
        snprintf(folder, sizeof folder, "TMPDIR=%s", argv[2]);
        if (!(child = fork())) {
            child_ask(10);
            if (is("cleared")) { clearenv(); run_itself(environ); }
            run_itself(is("edited") ? edited : none);
        }
        wait_for(child, 3);
    }
    else if (is("own-environment-cleared")) {
        char *folder = strdup(getenv("TMPDIR"));
        clearenv();
        setenv("TMPDIR", "/nonexistent", 1);
        work(10);
        if (!(child = fork())) { child_ask(10); exit(3); }
        wait_for(child, 3);
        setenv("TMPDIR", folder, 1);
    }
    else if (is("exec-in-thread")) {
        pthread_t thread;
        pthread_create(&thread, NULL, executes, NULL);
        pthread_join(thread, NULL);
    }
    else if (is("atfork")) {
        pthread_atfork(before, after_in_parent, after_in_child);
        for (int i = 0; i < 10; i++) {
            if (!(child = fork())) { child_ask(10); exit(3); }
            wait_for(child, 3);
        }
    }
    else if (is("generations")) generation(times);
    else return 1;
    note_asked();
    return 7;
}
