/* makecontext and swapcontext of <ucontext.h> where the C library has none (musl): as far as the fixtures need them,
   for x86-64. The signal mask and floating-point state are left alone. */
#ifndef CONTEXTS_H
#define CONTEXTS_H

#include <ucontext.h>

#ifndef __GLIBC__
#include <stddef.h>
#include <stdint.h>

/* Registers that a call keeps, the stack and where to go on, by their numbers in <sys/ucontext.h> (REG_RSP and so on). */
_Static_assert(offsetof(ucontext_t, uc_mcontext) == 40, "where the assembly below has it");
#define CONTEXT_RSP "160"
#define CONTEXT_RIP "168"

void fixture_context_ends(void);

__asm__(".text\n"
        ".globl swapcontext\n.type swapcontext, @function\n"
        "swapcontext:\n.cfi_startproc\n"
        "mov %r12, 72(%rdi)\nmov %r13, 80(%rdi)\nmov %r14, 88(%rdi)\nmov %r15, 96(%rdi)\n"
        "mov %rbp, 120(%rdi)\nmov %rbx, 128(%rdi)\n"
        "mov (%rsp), %rax\nmov %rax, " CONTEXT_RIP "(%rdi)\n"
        "lea 8(%rsp), %rax\nmov %rax, " CONTEXT_RSP "(%rdi)\n"
        "1: mov 72(%rsi), %r12\nmov 80(%rsi), %r13\nmov 88(%rsi), %r14\nmov 96(%rsi), %r15\n"
        "mov 120(%rsi), %rbp\nmov 128(%rsi), %rbx\n"
        "mov " CONTEXT_RIP "(%rsi), %rax\nmov " CONTEXT_RSP "(%rsi), %rsp\n"
        ".cfi_def_cfa_offset 0\n"
        "jmp *%rax\n"
        ".cfi_endproc\n.size swapcontext, . - swapcontext\n"
        /* What the function of a context returns to: the next context is on the stack. Nothing that has
           unwind information lies in front of it, by which unwinders know the root of such a stack. */
        ".skip 16, 0x90\n"
        ".globl fixture_context_ends\n.type fixture_context_ends, @function\n"
        "fixture_context_ends:\n.cfi_startproc\n.cfi_undefined rip\n"
        "pop %rsi\n"
        "test %rsi, %rsi\n"
        "jnz 1b\n"
        "mov $60, %eax\nxor %edi, %edi\nsyscall\n"
        ".cfi_endproc\n.size fixture_context_ends, . - fixture_context_ends\n");

int getcontext(ucontext_t *context) {
    (void)context;
    return 0;
}

void makecontext(ucontext_t *context, void (*f)(void), int count, ...) {
    (void)count;
    char *end = (char *)context->uc_stack.ss_sp + context->uc_stack.ss_size;
    uint64_t *stack = (uint64_t *)((uintptr_t)end & ~15ul) - 3;
    stack[0] = (uint64_t)fixture_context_ends;
    stack[1] = (uint64_t)context->uc_link;
    context->uc_mcontext.gregs[15] = (greg_t)(uintptr_t)stack;
    context->uc_mcontext.gregs[16] = (greg_t)(uintptr_t)f;
    context->uc_mcontext.gregs[10] = 0;
}
#endif

#endif
