/* torture_stacks HOW: stacks that a profiler cannot take for granted. */
#define _GNU_SOURCE
#include "fixture.h"
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include "contexts.h"
#include <unistd.h>

FUNCTION void *ask(size_t size) {
    void *block = malloc(size);
    KEEP(block);
    return block;
}
static void in_handler(int signal) {
    (void)signal;
    ask(41);
    NO_TAIL_CALL();
}
static sigjmp_buf out;
static void overflowed(int signal) {
    (void)signal;
    ask(42);
    siglongjmp(out, 1);
}
/* A stack of its own for signal handlers, with a pattern that shows how deep it was used. */
static unsigned char *alternate(size_t len, int flags, void (*handler)(int), int signal) {
    unsigned char *memory = mmap(NULL, len + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t rounded = (len + 4095) & ~4095ul;
    mprotect(memory + 4096, rounded, PROT_READ | PROT_WRITE);
    unsigned char *stack = memory + 4096 + rounded - len;
    memset(stack, 0xa5, len);
    stack_t alternate = {.ss_sp = stack, .ss_size = len};
    if (sigaltstack(&alternate, NULL)) abort();
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK | flags};
    if (sigaction(signal, &action, NULL)) abort();
    return stack;
}
static size_t used(const unsigned char *stack, size_t len) {
    size_t free = 0;
    while (free < len && stack[free] == 0xa5) free++;
    return len - free;
}

static int endless(volatile int *depth) {
    volatile char room[500];
    room[0] = 1;
    KEEP(room);
    ++*depth;
    return endless(depth) + room[0];
}
FUNCTION int deep(int n) {
    if (n == 0) {
        ask(43);
        return 1;
    }
    int result = deep(n - 1);
    NO_TAIL_CALL();
    return result + 1;
}

static ucontext_t back, there;
static void coroutine(void) {
    for (int i = 0; i < 10; i++) {
        ask(44);
        swapcontext(&there, &back);
    }
}

/* A tail call: whoever called it is not on the stack. */
FUNCTION void *jumps_on(size_t size) { return ask(size + 1); }

/* No unwind information, no frame pointer; and one in which rbp is anything. */
void *without_information(size_t);
void *with_a_wild_pointer(size_t, uintptr_t);
#ifdef __aarch64__
__asm__(".text\n"
        ".type without_information, @function\n"
        "without_information:\n"
        "sub sp, sp, #32\n str x30, [sp, #16]\n bl ask\n ldr x30, [sp, #16]\n add sp, sp, #32\n ret\n"
        ".size without_information, . - without_information\n"
        ".type with_a_wild_pointer, @function\n"
        "with_a_wild_pointer:\n"
        "stp x29, x30, [sp, #-16]!\n mov x29, x1\n bl ask\n ldp x29, x30, [sp], #16\n ret\n"
        ".size with_a_wild_pointer, . - with_a_wild_pointer\n");
#else
__asm__(".text\n"
        ".type without_information, @function\n"
        "without_information:\n"
        "sub $24, %rsp\n call ask\n add $24, %rsp\n ret\n"
        ".size without_information, . - without_information\n"
        ".type with_a_wild_pointer, @function\n"
        "with_a_wild_pointer:\n"
        "push %rbp\n mov %rsi, %rbp\n call ask\n pop %rbp\n ret\n"
        ".size with_a_wild_pointer, . - with_a_wild_pointer\n");
#endif

/* Calls ask on a stack whose last bytes are those of a page before unmapped memory, with nothing
   above the return address that could be a frame. */
void *on_stack(void *top, size_t size);
#ifdef __aarch64__
__asm__(".text\n"
        ".type on_stack, @function\n"
        "on_stack:\n"
        ".cfi_startproc\n"
        "stp x29, x30, [sp, #-32]!\n .cfi_def_cfa_offset 32\n .cfi_offset x29, -32\n .cfi_offset x30, -24\n"
        "str x19, [sp, #16]\n .cfi_offset x19, -16\n"
        "mov x19, sp\n .cfi_def_cfa_register x19\n"
        "mov sp, x0\n mov x0, x1\n bl ask\n"
        "mov sp, x19\n .cfi_def_cfa_register sp\n ldr x19, [sp, #16]\n ldp x29, x30, [sp], #32\n"
        ".cfi_def_cfa_offset 0\n ret\n"
        ".cfi_endproc\n"
        ".size on_stack, . - on_stack\n"
        /* The same without a word about it. */
        ".type on_bare_stack, @function\n"
        "on_bare_stack:\n"
        "stp x29, x30, [sp, #-32]!\n str x19, [sp, #16]\n mov x19, sp\n mov sp, x0\n mov x0, x1\n bl ask\n"
        "mov sp, x19\n ldr x19, [sp, #16]\n ldp x29, x30, [sp], #32\n ret\n"
        ".size on_bare_stack, . - on_bare_stack\n");
#else
__asm__(".text\n"
        ".type on_stack, @function\n"
        "on_stack:\n"
        ".cfi_startproc\n"
        "push %rbx\n .cfi_adjust_cfa_offset 8\n .cfi_offset rbx, -16\n"
        "mov %rsp, %rbx\n .cfi_def_cfa_register rbx\n"
        "mov %rdi, %rsp\n mov %rsi, %rdi\n call ask\n"
        "mov %rbx, %rsp\n .cfi_def_cfa_register rsp\n pop %rbx\n .cfi_adjust_cfa_offset -8\n ret\n"
        ".cfi_endproc\n"
        ".size on_stack, . - on_stack\n"
        /* The same without a word about it. */
        ".type on_bare_stack, @function\n"
        "on_bare_stack:\n"
        "push %rbx\n mov %rsp, %rbx\n mov %rdi, %rsp\n mov %rsi, %rdi\n call ask\n"
        "mov %rbx, %rsp\n pop %rbx\n ret\n"
        ".size on_bare_stack, . - on_bare_stack\n");
#endif
void *on_bare_stack(void *top, size_t size);

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    if (!strcmp(how, "least-signal-stack")) {
        /* As small as this machine's registers allow: glibc's MINSIGSTKSZ plus what malloc itself needs. */
        size_t len = getauxval(AT_MINSIGSTKSZ) + 2048;
        unsigned char *stack = alternate(len, 0, in_handler, SIGUSR1);
        for (int i = 0; i < 10; i++) raise(SIGUSR1);
        fprintf(stderr, "used %zu\n", used(stack, len));
    } else if (!strcmp(how, "overflow")) {
        struct rlimit small = {1 << 20, 1 << 20};
        setrlimit(RLIMIT_STACK, &small);
        alternate(32768, 0, overflowed, SIGSEGV);
        volatile int depth = 0;
        for (volatile int i = 0; i < 3; i++) {
            if (!sigsetjmp(out, 1)) endless(&depth);
            ask(45);
        }
        puts(depth > 1000 ? "deep" : "not deep");
    } else if (!strcmp(how, "overflow-dies")) {
        volatile int depth = 0;
        ask(45);
        return endless(&depth);
    } else if (!strcmp(how, "deep")) {
        struct rlimit now;
        getrlimit(RLIMIT_STACK, &now);
        printf("%d\n", deep(100000));
    } else if (!strcmp(how, "coroutine-heap")) {
        /* Its stack is freed and used for other things. */
        for (int i = 0; i < 20; i++) {
            size_t len = 32768;
            char *stack = malloc(len);
            getcontext(&there);
            there.uc_stack.ss_sp = stack;
            there.uc_stack.ss_size = len;
            there.uc_link = NULL;
            makecontext(&there, coroutine, 0);
            for (int j = 0; j < 5; j++) swapcontext(&back, &there);
            memset(stack, 0xee, len);
            free(stack);
            ask(45);
        }
    } else if (!strcmp(how, "tail-call")) {
        for (int i = 0; i < 10; i++) KEEP(jumps_on(45));
    } else if (!strcmp(how, "assembly")) {
        for (int i = 0; i < 10; i++) KEEP(without_information(46));
        const uintptr_t wild[] = {0, 1, 8, 0xfff, 0x7fffffffffff, 0x800000000000, ~0ul, ~7ul, 0xdead00000000beef,
                                  (uintptr_t)main, (uintptr_t)&back, (uintptr_t)argv, (uintptr_t)&how};
        for (size_t i = 0; i < sizeof wild / sizeof *wild; i++) KEEP(with_a_wild_pointer(47, wild[i]));
    } else if (!strcmp(how, "edge")) {
        char *memory = mmap(NULL, 65536 + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mprotect(memory + 65536, 4096, PROT_NONE);
        for (int above = 0; above <= 64; above += 16) {
            KEEP(on_stack(memory + 65536 - above, 48));
            KEEP(on_bare_stack(memory + 65536 - above, 49));
        }
    } else return 1;
    return 3;
}
