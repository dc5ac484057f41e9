/* After a program has raised the limit of its stack, what lies where that might grow to is another mapping: here the
   stack of a coroutine, in which a function without unwind information calls malloc with any value in rbp. */
#include "fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "contexts.h"
#include <unistd.h>

#define LENGTH 65536UL
#define BEHIND (32UL << 20)

static ucontext_t back, coroutine;
void *stray;
void allocate(void);
__asm__(".globl allocate\n"
        "allocate:\n push %rbp\n push %rbx\n mov stray(%rip), %rbp\n sub $8, %rsp\n mov $24, %edi\n"
        " call malloc@PLT\n add $8, %rsp\n pop %rbx\n pop %rbp\n ret\n");

static void body(void) {
    for (int i = 0; i < 10; i++) allocate();
}
int main(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_STACK, &limit)) abort();
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? 8UL << 30 : limit.rlim_max;
    if (setrlimit(RLIMIT_STACK, &limit)) abort();
    pid_t child = fork();
    if (!child) {
        char *stack = mmap(NULL, LENGTH + BEHIND, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (stack == MAP_FAILED || mprotect(stack, LENGTH, PROT_READ | PROT_WRITE)) abort();
        stray = stack + LENGTH + 4096;
        getcontext(&coroutine);
        coroutine.uc_stack.ss_sp = stack;
        coroutine.uc_stack.ss_size = LENGTH;
        coroutine.uc_link = &back;
        makecontext(&coroutine, body, 0);
        swapcontext(&back, &coroutine);
        _exit(0);
    }
    int status;
    if (waitpid(child, &status, 0) != child) abort();
    printf("%d\n", status);
    return 0;
}
