/* jit FOLDER: makes two functions at run time, "made_inner" and "made_outer", tells perf
 * of them by a dump in FOLDER, or by a map where that is "-" (whose path it prints), and lets each call work, which allocates.
 * jit - COMMAND: a shell does something to the map, $MAP, before that.
 *
 * The code is that of Python's trampolines: no frame pointer, no unwind information. */
#include "fixture.h"
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef void step(void *next);
typedef void made(void *argument, step *callee);

static made *inner, *outer;

FUNCTION void work(void *unused) {
    (void)unused;
    for (int i = 0; i < 100; i++) KEEP(malloc(48));
    NO_TAIL_CALL();
}
FUNCTION void between(void *unused) { (void)unused; inner(0, work); NO_TAIL_CALL(); }

/* sub rsp, 8; call rsi; add rsp, 8; ret */
static const unsigned char code[] = {0x48, 0x83, 0xec, 8, 0xff, 0xd6, 0x48, 0x83, 0xc4, 8, 0xc3};

static int dump;
static void put(const void *bytes, size_t len) {
    if (write(dump, bytes, len) != (ssize_t)len) abort();
}
static void begin(const char *folder) {
    char path[4096];
    snprintf(path, sizeof path, "%s/jit-%d.dump", folder, getpid());
    dump = open(path, O_CREAT | O_RDWR | O_EXCL, 0600);
    uint32_t head[10] = {0x4A695444, 1, 40, 62, 0, getpid()};
    put(head, sizeof head);
    if (mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, dump, 0) == MAP_FAILED) abort();
}
static void load(const char *name, made *at, uint64_t number) {
    uint64_t size = sizeof code, length = 56 + strlen(name) + 1 + size, time = number;
    uint32_t kind[2] = {0, length}, who[2] = {getpid(), getpid()};
    uint64_t where[4] = {(uint64_t)at, (uint64_t)at, size, number};
    put(kind, 8); put(&time, 8); put(who, 8); put(where, 32);
    put(name, strlen(name) + 1); put(code, size);
}

int main(int argc, char **argv) {
    if (argc < 2) return 1;
    char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page, code, sizeof code);
    memcpy(page + 64, code, sizeof code);
    mprotect(page, 4096, PROT_READ | PROT_EXEC);
    inner = (made *)page;
    outer = (made *)(page + 64);
    if (strcmp(argv[1], "-")) {
        begin(argv[1]);
        load("code that is gone", inner, 1);
        load("made_inner", inner, 2);
        load("made_outer", outer, 3);
    } else {
        char path[40], text[200];
        sprintf(path, "/tmp/perf-%d.map", getpid());
        dump = open(path, O_CREAT | O_WRONLY | O_EXCL, 0600);
        write(1, path, strlen(path));
        put(text, sprintf(text, "%lx %zx made_inner\n%lx %zx made_outer\n", (long)inner,
                          sizeof code, (long)outer, sizeof code));
        close(dump);
        if (argc > 2) {
            setenv("MAP", path, 1);
            if (system(argv[2])) return 2;
        }
    }
    outer(0, between);
    return 0;
}
