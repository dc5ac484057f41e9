/* Cases at the edge of what is followed. Each block that counts has a size of its own.
 *
 * edges phase | huge | heir | idle | renamed | unseen | pvalloc | break | _exit | filtered
 */
#define _GNU_SOURCE
#include "../../include/skipheap.h"
#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#define FIXTURE_PVALLOC
#include "fixture.h"

FUNCTION void *ask(size_t size) {
    void *block = malloc(size);
    if (!block) abort();
    KEEP(block);
    return block;
}

/* More sites than a small disk has room for; the header's calls read what was written of them. */
static int phase(void) {
    for (size_t size = 1; size < 40000; size++) free(ask(size));
    skipheap_phase("full");
    skipheap_snapshot("full");
    puts("done");
    return 0;
}

/* More than there can be: the block stays as it is. */
static int huge(void) {
    char *block = ask(3001);
    strcpy(block, "kept");
    const size_t sizes[] = {(size_t)PTRDIFF_MAX + 1, (size_t)1 << 48 | 16, SIZE_MAX, SIZE_MAX << 48};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        volatile size_t size = sizes[i];
        errno = 0;
        if (realloc(block, size) || errno != ENOMEM) abort();
    }
    volatile size_t half = (size_t)1 << 31;
    errno = 0;
    if (reallocarray(block, half, half * 2) || errno != ENOMEM) abort();
    if (strcmp(block, "kept")) abort();
    free(block);
    return 0;
}

static void *nothing(void *unused) { KEEP(malloc(16)); return unused; }
static void *asks(void *unused) { for (int i = 0; i < 10; i++) free(ask(3003)); return unused; }

/* A thread of a child of fork on the stack of one that its parent had, while another thread has made the process
 * known. */
static pthread_barrier_t barrier;
static void *asks_later(void *unused) {
    free(ask(3003));
    pthread_barrier_wait(&barrier);
    return asks(unused);
}
static int heir(void) {
    pthread_t id;
    if (pthread_create(&id, NULL, nothing, NULL) || pthread_join(id, NULL)) abort();
    ask(3005);
    pid_t child = fork();
    if (!child) {
        pthread_barrier_init(&barrier, NULL, 2);
        if (pthread_create(&id, NULL, asks_later, NULL)) abort();
        pthread_barrier_wait(&barrier);
        /* The process is known by now, and this thread has its parent's state. */
        for (int i = 0; i < 1000; i++) free(ask(3007));
        pthread_join(id, NULL);
        exit(0);
    }
    int status;
    if (waitpid(child, &status, 0) != child || status) abort();
    return 0;
}

/* Frees of blocks that nobody followed, by a thread that does nothing else, and by a child before it allocates. */
static void *blocks[1000];
static void *frees(void *unused) { for (int i = 0; i < 500; i++) free(blocks[i]); return unused; }
static int idle(void) {
    for (int i = 0; i < 1000; i++) blocks[i] = ask(3009);
    pid_t child = fork();
    if (!child) {
        for (int i = 500; i < 1000; i++) free(blocks[i]);
        ask(3011);
        pthread_t id;
        if (pthread_create(&id, NULL, frees, NULL) || pthread_join(id, NULL)) abort();
        exit(0);
    }
    int status;
    if (waitpid(child, &status, 0) != child || status) abort();
    return 0;
}

/* A thread that has ended keeps what it has counted when another frees without a state of its own. */
static void *named(void *unused) {
    prctl(PR_SET_NAME, "worker");
    for (int i = 0; i < 100; i++) blocks[i] = ask(3013);
    return unused;
}
static void *frees_some(void *unused) { for (int i = 0; i < 100; i++) free(blocks[i]); return unused; }
static int renamed(void) {
    pthread_t id;
    if (pthread_create(&id, NULL, named, NULL) || pthread_join(id, NULL)) abort();
    if (pthread_create(&id, NULL, frees_some, NULL) || pthread_join(id, NULL)) abort();
    return 0;
}

/* Freed behind the profiler's back: the address is given out again. */
static int unseen(void) {
    void (*release)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "__libc_free");
    if (!release) abort();
    const size_t sizes[] = {41, 3015, 200001};
    for (int i = 0; i < 300; i++) release(ask(sizes[i % 3]));
    return 0;
}

static int pvalloc_(void) {
    char *block = pvalloc(3017);
    block[0] = 1;
    KEEP(block);
    return 0;
}

/* The program's own memory lies in front of the heap, and between its parts. */
static void **before, **between;
__attribute__((noinline)) static void fill(void) {
    before = sbrk(4096);
    for (int i = 0; i < 50; i++) memset(before[i] = ask(3019), 0, 3019);
    between = sbrk(4096);
    for (int i = 0; i < 200; i++) memset(between[i] = ask(3021), 0, 3021);
}

/* What only a caller's registers hold at the end is no leak. */
FUNCTION void leave(void) { _exit(0); }
FUNCTION void in_registers(void) {
    register void *a __asm__("rbx") = ask(3023);
    register void *b __asm__("r12") = ask(3025);
    register void *c __asm__("r13") = ask(3027);
    register void *d __asm__("r14") = ask(3029);
    register void *e __asm__("r15") = ask(3031);
    clear_stack();
    __asm__ volatile("call leave_now" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e) : : "memory", "rax", "rdi");
}
__attribute__((used)) void leave_now(void) { leave(); }

/* A thread ends under a filter that kills for what is of no use to it. */
static void *filtered_thread(void *unused) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    free(ask(3033));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) abort();
    return unused;
}
static int filtered(void) {
    pthread_t id;
    if (pthread_create(&id, NULL, filtered_thread, NULL) || pthread_join(id, NULL)) abort();
    puts("alive");
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    const char *mode = argv[1];
    if (!strcmp(mode, "phase")) return phase();
    if (!strcmp(mode, "huge")) return huge();
    if (!strcmp(mode, "heir")) return heir();
    if (!strcmp(mode, "idle")) return idle();
    if (!strcmp(mode, "renamed")) return renamed();
    if (!strcmp(mode, "unseen")) return unseen();
    if (!strcmp(mode, "pvalloc")) return pvalloc_();
    if (!strcmp(mode, "filtered")) return filtered();
    if (!strcmp(mode, "_exit")) in_registers();
    if (strcmp(mode, "break")) return 2;
    fill();
    clear_stack();
    return 0;
}
