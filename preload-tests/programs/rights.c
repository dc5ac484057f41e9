/* Two allocations, then a child of fork that gives up a right in one of many ways before its first one, and
   makes five. */
#define _GNU_SOURCE
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

static void *volatile block;

__attribute__((noinline)) static void unit(int n) {
    while (n--) block = malloc(4242);
}

static int give_up(const char *how, const char *folder) {
    if (!strcmp(how, "setuid")) return setgid(NOBODY) || setuid(NOBODY);
    if (!strcmp(how, "setreuid")) return setregid(NOBODY, NOBODY) || setreuid(NOBODY, NOBODY);
    if (!strcmp(how, "setresuid")) return setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY);
    if (!strcmp(how, "seteuid")) return setegid(NOBODY) || seteuid(NOBODY);
    if (!strcmp(how, "setgroups")) return setgroups(0, 0) || setuid(NOBODY);
    if (!strcmp(how, "chroot")) return chroot(folder);
    if (!strcmp(how, "syscall-setuid")) return syscall(SYS_setuid, NOBODY);
    if (!strcmp(how, "syscall-chroot")) return syscall(SYS_chroot, folder);
    if (!strcmp(how, "unshare")) {
        if (unshare(CLONE_NEWNS)) return 1;
        if (mount("none", "/", 0, MS_REC | MS_PRIVATE, 0)) return 1;
        return mount("none", "/tmp", "tmpfs", 0, 0);
    }
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    unit(2);
    pid_t child = fork();
    if (!child) {
        if (give_up(argv[1], argv[2])) _exit(77);
        unit(5);
        exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}
