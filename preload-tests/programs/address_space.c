/* address_space HOW [NUMBER [BYTES]]: what the program sees of the library in its address space. */
#define _GNU_SOURCE
#include "fixture.h"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Bytes by a line of /proc/self/status. */
static long status(const char *name) {
    char line[256];
    long kilobytes = -1;
    FILE *file = fopen("/proc/self/status", "r");
    if (!file) abort();
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name))) kilobytes = atol(line + strlen(name) + 1);
    fclose(file);
    return kilobytes << 10;
}

FUNCTION void ask(long count) {
    for (long i = 0; i < count; i++) {
        void *block = malloc(41);
        KEEP(block);
        free(block);
    }
    NO_TAIL_CALL();
}
/* A site for each allocation. */
FUNCTION void ask_for_sizes(long count) {
    for (long i = 0; i < count; i++) {
        void *block = malloc(100 + i);
        KEEP(block);
        free(block);
    }
    NO_TAIL_CALL();
}

/* How many bytes malloc gives in blocks of `size`. */
FUNCTION long fill(size_t size) {
    long got = 0;
    void **last = NULL;
    for (void **block; (block = malloc(size)); last = block) {
        *block = last;
        got += size;
    }
    while (last) {
        void **next = *last;
        free(last);
        last = next;
    }
    return got;
}

static void *in_thread(void *count) {
    ask_for_sizes((long)count);
    return NULL;
}

/* Executes the rest of the arguments where the kernel knows no advice of these numbers, and maps nothing a
   second time, as before Linux 4.14, and in gVisor and valgrind. */
static int old_kernel(char **arguments) {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mremap, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 5, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 18, 1, 0), /* MADV_WIPEONFORK */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 23, 0, 1), /* MADV_POPULATE_WRITE */
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog all = {.len = sizeof program / sizeof *program, .filter = program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all)) return 77;
    if (madvise(arguments, 0, 23) != -1) return 77;
    execvp(arguments[0], arguments);
    return 1;
}

#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
/* What malloc and exit need, and nothing else. */
static void confine(void) {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(write), ALLOW(brk), ALLOW(mmap), ALLOW(munmap), ALLOW(mprotect), ALLOW(madvise), ALLOW(futex),
        ALLOW(rt_sigprocmask), ALLOW(exit_group), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog all = {.len = sizeof program / sizeof *program, .filter = program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) abort();
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all)) exit(77);
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    long number = argc > 2 ? atol(argv[2]) : 0, bytes = argc > 3 ? atol(argv[3]) : 0;
    if (!strcmp(how, "old-kernel")) return old_kernel(argv + 2);
    ask(10);
    if (!strcmp(how, "start")) {
        printf("%ld\n", status("VmSize:"));
    } else if (!strcmp(how, "lock")) {
        if (mlockall(MCL_CURRENT | MCL_FUTURE)) { perror("mlockall"); return 77; }
        ask_for_sizes(number);
        printf("%ld\n", status("VmLck:"));
    } else if (!strcmp(how, "limit")) {
        struct rlimit limit = {number, number};
        if (setrlimit(RLIMIT_AS, &limit)) abort();
        printf("%ld\n", fill(bytes));
        ask(20);
    } else if (!strcmp(how, "sites")) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, in_thread, (void *)number)) abort();
        ask_for_sizes(number);
        pthread_join(thread, NULL);
        printf("%ld\n", status("VmSize:"));
    } else if (!strcmp(how, "confined")) {
        confine();
        ask_for_sizes(number);
        if (write(1, "0\n", 2) != 2) return 1;
    } else if (!strcmp(how, "fork")) {
        fflush(stdout);
        pid_t child = fork();
        if (child < 0) abort();
        ask(child ? 5 : 7);
        ask_for_sizes(number);
        if (child) waitpid(child, NULL, 0);
    } else return 1;
    return 0;
}
