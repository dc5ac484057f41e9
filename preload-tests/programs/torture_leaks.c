/* torture_leaks HOW: memory that a leak check has to look at with care. Two blocks of 777 bytes are reachable by
   it alone, one of 555 bytes is not. Ends with 77 where the machine does not let it try. */
#define _GNU_SOURCE
#include "fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static void **volatile room;

/* Keeps blocks at the start and at the end. */
static void fill(char *start, size_t length) {
    room = (void **)start;
    room[0] = malloc(777);
    *(void **)(start + length - sizeof(void *)) = malloc(777);
}
static char *map(size_t length, int protection) {
    char *start = mmap(NULL, length, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) abort();
    return start;
}
FUNCTION void lose(void) {
    void *block = malloc(555);
    KEEP(block);
    memset(block, 0, 555);
}

int main(int count, char **arguments) {
    const char *how = count > 1 ? arguments[1] : "";
    lose();
    if (!strcmp(how, "large-block")) {
        /* Of which hardly a page is used. */
        size_t length = 6UL << 30;
        char *block = malloc(length);
        if (!block) abort();
        fill(block, length);
    } else if (!strcmp(how, "terabytes")) {
        size_t length = 16UL << 40;
        fill(map(length, PROT_READ | PROT_WRITE), length);
    } else if (!strcmp(how, "holes")) {
        /* Of each two pages one cannot be read any more. */
        size_t length = 1UL << 22;
        char *start = map(length, PROT_READ | PROT_WRITE);
        fill(start, length);
        memset(start + sizeof(void *), 1, length - 2 * sizeof(void *));
        for (size_t at = 4096; at + 8192 < length; at += 8192)
            if (mprotect(start + at, 4096, PROT_NONE)) abort();
    } else if (!strcmp(how, "read-only")) {
        char *start = map(8192, PROT_READ | PROT_WRITE);
        fill(start, 8192);
        if (mprotect(start, 8192, PROT_READ)) abort();
    } else if (!strcmp(how, "like-a-heap")) {
        /* As heaps of glibc's malloc, the memory begins at a multiple of 64 MiB and a block lies in the same
           mapping: the kernel joins what lies side by side. */
        size_t heap = 64UL << 20, length = 1UL << 20;
        char *start = NULL, *beside = NULL;
        static void *volatile blocks[90];
        /* Some blocks fill other room, and the profiler may map something of its own for them in ours. */
        for (int i = 1; i < 90 && (beside < start + length || beside > start + 2 * length); i++) {
            if (i % 4 == 1) {
                char *all = mmap(NULL, 3 * heap, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                if (all == MAP_FAILED) abort();
                start = (char *)(((unsigned long)all + heap - 1) / heap * heap);
                if (mprotect(start, length, PROT_READ | PROT_WRITE)) abort();
                /* One fills what is unmapped. */
                if (munmap(start + length, length)) abort();
            }
            blocks[i] = beside = malloc(length - 1000);
        }
        if (beside < start + length || beside > start + 2 * length) return 77;
        fill(start, length);
    } else if (!strcmp(how, "userfaultfd")) {
        /* A page that nobody will bring. */
        int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
        struct uffdio_api api = {.api = UFFD_API};
        if (fd < 0 || ioctl(fd, UFFDIO_API, &api)) return 77;
        size_t length = 1UL << 20;
        char *block = malloc(length);
        fill(block, length);
        struct uffdio_register part = {.mode = UFFDIO_REGISTER_MODE_MISSING};
        part.range.start = ((unsigned long)block + 4096) & ~4095UL;
        part.range.len = 4096 * 64;
        if (ioctl(fd, UFFDIO_REGISTER, &part)) return 77;
    } else if (!strcmp(how, "filtered")) {
        /* The filter kills for a call that no program needs; nobody is told of it. */
        fill(malloc(10000), 10000);
        struct sock_filter code[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = {sizeof code / sizeof *code, code};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) abort();
        long result;
        __asm__ volatile("syscall"
                         : "=a"(result)
                         : "0"(SYS_seccomp), "D"(SECCOMP_SET_MODE_FILTER), "S"(0L), "d"(&program)
                         : "rcx", "r11", "memory");
        if (result) return 77;
    } else if (!strcmp(how, "no-descriptors")) {
        fill(malloc(10000), 10000);
        struct rlimit none = {0, 0};
        if (setrlimit(RLIMIT_NOFILE, &none)) abort();
    }
    puts(how);
    return 3;
}
