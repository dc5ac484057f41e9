/* Unusual stacks, one for each argument. */
#define _GNU_SOURCE
#include "fixture.h"
#include <alloca.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "contexts.h"

FUNCTION void ask(size_t size) { KEEP(malloc(size)); }

/* A frame that is realigned: its CFA is found through memory. */
FUNCTION void over_aligned(void) {
    _Alignas(128) volatile char room[256];
    room[0] = 1;
    KEEP(room);
    ask(64);
    NO_TAIL_CALL();
}

/* Realigned and of variable size. */
FUNCTION void variable_frame(int count) {
    _Alignas(64) volatile char room[64];
    volatile char *more = alloca(count);
    room[0] = more[count - 1] = 1;
    KEEP(room);
    ask(65);
    KEEP(more);
}

static ucontext_t back;
FUNCTION void coroutine(void) {
    ask(66);
    NO_TAIL_CALL();
}
FUNCTION void coroutines(void) {
    static ucontext_t contexts[10];
    for (int i = 0; i < 10; i++) {
        static char stacks[10][65536];
        getcontext(&contexts[i]);
        contexts[i].uc_stack.ss_sp = stacks[i];
        contexts[i].uc_stack.ss_size = sizeof stacks[i];
        contexts[i].uc_link = &back;
        makecontext(&contexts[i], coroutine, 0);
        swapcontext(&back, &contexts[i]);
    }
}

FUNCTION void in_handler(int signal) {
    (void)signal;
    ask(67);
    NO_TAIL_CALL();
}
FUNCTION void raise_here(void) {
    raise(SIGUSR1);
    NO_TAIL_CALL();
}
FUNCTION void signals(int flags) {
    stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
    if (sigaltstack(&stack, NULL)) abort();
    struct sigaction action = {.sa_handler = in_handler, .sa_flags = flags};
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < 10; i++) raise_here();
}

static jmp_buf jump;
FUNCTION void jumps_out(void) {
    ask(68);
    longjmp(jump, 1);
}
FUNCTION void jumps(void) {
    volatile int count = 0;
    setjmp(jump);
    if (count++ < 10) jumps_out();
    ask(69);
    NO_TAIL_CALL();
}

/* Calls itself alternately from two places: no two return addresses in a row are equal. */
FUNCTION void deep(int depth) {
    if (depth == 0) ask(70);
    else if (depth % 2) deep(depth - 1);
    else { deep(depth - 1); KEEP(depth); }
    NO_TAIL_CALL();
}
FUNCTION void many(int count, size_t size) {
    for (int i = 0; i < count; i++) {
        void *block = malloc(size);
        KEEP(block);
        free(block);
    }
}
/* All return addresses are equal: the walk has to give up at some depth. */
FUNCTION void deep_and_equal(int depth) {
    if (depth) deep_and_equal(depth - 1);
    else many(100000, 71);
    NO_TAIL_CALL();
}

/* A frame pointer that points nowhere while malloc runs, in code without unwind information that
   does not show where it returns to. */
#ifdef __aarch64__
__asm__(".text\n.globl no_information\n.type no_information, @function\nno_information:\n"
        "stp x29, x30, [sp, #-16]!\nmov x29, #0x1234\nmov x0, #72\nbl malloc\n"
        "ldp x29, x30, [sp], #16\nret\n"
        ".size no_information, .-no_information\n");
#else
__asm__(".text\n.globl no_information\n.type no_information, @function\nno_information:\n"
        "push %rbp\nmov $0x123456789, %rbp\nmov $72, %edi\ncall malloc@PLT\npop %rbp\n"
        "pop %rcx\njmp *%rcx\n"
        ".size no_information, .-no_information\n");
#endif
void *no_information(void);
FUNCTION void around_no_information(void) {
    KEEP(no_information());
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "over-aligned")) over_aligned();
    else if (!strcmp(what, "variable")) variable_frame(argc * 100);
    else if (!strcmp(what, "coroutines")) coroutines();
    else if (!strcmp(what, "signal")) signals(0);
    else if (!strcmp(what, "signal-stack")) signals(SA_ONSTACK);
    else if (!strcmp(what, "jumps")) jumps();
    else if (!strcmp(what, "deep")) deep(100000);
    else if (!strcmp(what, "deep-and-equal")) deep_and_equal(100000);
    else if (!strcmp(what, "no-information")) around_no_information();
    else return 1;
    return 0;
}
