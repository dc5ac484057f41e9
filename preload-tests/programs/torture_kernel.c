/* torture_kernel HOW [FOLDER]: takes rights and room away from itself in the middle of its run. */
#define _GNU_SOURCE
#include "fixture.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

FUNCTION void ask(int count) {
    for (int i = 0; i < count; i++) {
        void *block = malloc(41);
        KEEP(block);
        free(block);
    }
    NO_TAIL_CALL();
}
/* The same from call sites and with sizes that were not seen before. */
FUNCTION void ask_anew(int count) {
    for (int i = 0; i < count; i++) {
        void *block = malloc(1000 + i);
        KEEP(block);
        free(block);
    }
    NO_TAIL_CALL();
}

/* The same as the first, in a signal handler on a stack of its own; no system call raises the signal. */
static volatile int wanted;
static void in_handler(int signal) {
    (void)signal;
    ask(wanted);
    NO_TAIL_CALL();
}
static void handle(void) {
    static char stack[1 << 16];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = in_handler, .sa_flags = SA_ONSTACK};
    if (sigaltstack(&alternate, NULL) || sigaction(SIGTRAP, &action, NULL)) abort();
}
FUNCTION void ask_in_handler(int count) {
    wanted = count;
    __asm__ volatile("int3");
}

#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
enum way { BY_PRCTL, BY_SYSCALL, WITH_LISTENER };
/* What malloc, stdio and exit need, and nothing else. */
static void filter(unsigned otherwise, enum way way) {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(read), ALLOW(write), ALLOW(brk), ALLOW(mmap), ALLOW(munmap), ALLOW(mprotect), ALLOW(madvise),
        ALLOW(futex), ALLOW(rt_sigprocmask), ALLOW(rt_sigreturn), ALLOW(newfstatat), ALLOW(exit), ALLOW(exit_group),
        BPF_STMT(BPF_RET | BPF_K, otherwise),
    };
    struct sock_fprog all = {.len = sizeof program / sizeof *program, .filter = program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) abort();
    if (way == BY_PRCTL) {
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all)) abort();
    } else {
        /* With the flag the result is a descriptor. */
        unsigned long flags = way == WITH_LISTENER ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0;
        long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &all);
        if (flags ? result <= 0 : result != 0) abort();
    }
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "", *folder = argc > 2 ? argv[2] : "";
    handle();
    if (!strcmp(how, "seccomp-handler")) ask_in_handler(100);
    else ask(100);
    if (!strcmp(how, "chroot")) {
        if (chroot(folder) || chdir("/")) { perror("chroot"); return 77; }
    } else if (!strcmp(how, "setuid")) {
        if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)) { perror("setuid"); return 77; }
    } else if (!strcmp(how, "seccomp-kill")) {
        filter(SECCOMP_RET_KILL_PROCESS, BY_PRCTL);
    } else if (!strcmp(how, "seccomp-syscall")) {
        filter(SECCOMP_RET_KILL_PROCESS, BY_SYSCALL);
    } else if (!strcmp(how, "seccomp-listener")) {
        filter(SECCOMP_RET_KILL_PROCESS, WITH_LISTENER);
    } else if (!strcmp(how, "seccomp-errno")) {
        filter(SECCOMP_RET_ERRNO | EPERM, BY_PRCTL);
    } else if (!strcmp(how, "seccomp-handler")) {
        /* All that was asked for until now was asked for on another stack. */
        filter(SECCOMP_RET_KILL_PROCESS, BY_PRCTL);
        ask(20);
        ask_in_handler(30);
        ask_anew(30);
        printf("%s\n", how);
        return 3;
    } else if (!strcmp(how, "seccomp-refused")) {
        if (!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, 8) || errno != EFAULT) abort();
        if (!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, 8) || errno != EFAULT) abort();
    } else if (!strcmp(how, "seccomp-strict")) {
        for (int is_strict = 0; is_strict < 2; is_strict++) {
            if (is_strict && prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)) abort();
            ask_in_handler(10);
        }
        ask(50);
        if (write(1, "strict\n", 7) != 7) return 1;
        syscall(SYS_exit, 3);
    } else if (!strcmp(how, "no-memory")) {
        /* What is mapped now and not a page more: what malloc has at hand is all there is. */
        struct rlimit none = {4096, 4096};
        if (setrlimit(RLIMIT_AS, &none)) abort();
        void *last = &none;
        for (size_t size = 1 << 20; size >= 16; size /= 2)
            for (void *block; (block = malloc(size)); last = block) *(void **)block = last;
    } else if (!strcmp(how, "eat")) {
        /* Until the kernel has enough of it. */
        for (;;) {
            char *block = malloc(1 << 16);
            KEEP(block);
            memset(block, 1, 1 << 16);
        }
    } else if (!strcmp(how, "limits")) {
        struct rlimit none = {0, 0};
        if (setrlimit(RLIMIT_CORE, &none) || setrlimit(RLIMIT_NOFILE, &none) ||
            setrlimit(RLIMIT_NPROC, &none) || setrlimit(RLIMIT_MEMLOCK, &none) || setrlimit(RLIMIT_SIGPENDING, &none))
            abort();
    } else if (!strcmp(how, "removed")) {
        /* The folder of the recording and of the report is gone. */
        char command[5000];
        snprintf(command, sizeof command, "rm -rf '%s'", folder);
        unsetenv("LD_PRELOAD");
        if (system(command)) return 1;
    } else if (strcmp(how, "plain")) return 1;
    ask(50);
    ask_anew(30);
    printf("%s\n", how);
    return 3;
}
