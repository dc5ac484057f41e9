/* missing_calls ERROR CALL... -- PROGRAM [ARGUMENT]...: executes a program on a kernel that answers these system
   calls, given by their numbers, with an error. CALL:N is the call whose third argument is N. The filter cannot be
   noticed: `prctl(PR_GET_SECCOMP)` says that there is none. */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct sock_filter program[256];
static unsigned short length;

static void add(struct sock_filter instruction) {
    if (length == sizeof program / sizeof *program) abort();
    program[length++] = instruction;
}

/* If system call `call` has `value` as argument number `argument`, or whatever it has if that is negative. */
static void answer(unsigned call, int argument, unsigned value, unsigned error) {
    add((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, argument < 0 ? 1 : 3));
    if (argument >= 0) {
        unsigned at = offsetof(struct seccomp_data, args) + 8 * argument;
        add((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at));
        add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
    }
    add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error));
}

int main(int argc, char **argv) {
    int at = 2;
    for (; at < argc && strcmp(argv[at], "--"); at++) {
        char *end;
        unsigned call = strtoul(argv[at], &end, 10);
        answer(call, *end == ':' ? 2 : -1, *end == ':' ? strtoul(end + 1, NULL, 10) : 0, atoi(argv[1]));
    }
    if (at + 1 >= argc) return 2;
    answer(SYS_prctl, 0, PR_GET_SECCOMP, 0);
    add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    struct sock_fprog all = {.len = length, .filter = program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all)) {
        perror("prctl");
        return 77;
    }
    execvp(argv[at + 1], argv + at + 1);
    perror(argv[at + 1]);
    return 1;
}
