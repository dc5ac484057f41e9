/* made_stacks HOW: coroutines whose first frame nobody has called. Each asks for memory in work. */
#include "fixture.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "contexts.h"

static ucontext_t back, coroutine_context;
static int count;
static void **saved_sp[2];
enum { LEN = 65536 };

FUNCTION void work(void) { void *block = malloc(42); KEEP(block); free(block); }
FUNCTION void coroutine(void) { for (;;) { work(); swapcontext(&coroutine_context, &back); } }

/* Keeps what a call has to keep, leaves rsp at *from and goes on at to. No unwind information. */
void change_stack(void ***from, void **to);
/* Where a coroutine begins that nobody returns from: calls what r12 says. */
void bare_entry(void);
/* Pushes the address of the code that ends the process, and jumps to what rbx says. */
void finish_entry(void);
__asm__(".text\n"
        ".type change_stack, @function\n"
        "change_stack:\n"
        "push %rbp\n push %rbx\n push %r12\n mov %rsp, (%rdi)\n mov %rsi, %rsp\n"
        "pop %r12\n pop %rbx\n pop %rbp\n ret\n"
        ".size change_stack, . - change_stack\n"
        ".type bare_entry, @function\n"
        "bare_entry: call *%r12\n ud2\n"
        ".size bare_entry, . - bare_entry\n"
        ".type finish_entry, @function\n"
        "finish_entry: lea 1f(%rip), %rax\n push %rax\n jmp *%rbx\n"
        "1: xor %rdi, %rdi\n call _exit@PLT\n hlt\n"
        ".size finish_entry, . - finish_entry\n");
FUNCTION void changing(void) {
    for (;;) { work(); change_stack(&saved_sp[1], saved_sp[0]); NO_TAIL_CALL(); }
}

static char *new_stack(void) {
    return mmap(0, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
FUNCTION void make(void) {
    getcontext(&coroutine_context);
    coroutine_context.uc_stack.ss_sp = new_stack();
    coroutine_context.uc_stack.ss_size = LEN;
    makecontext(&coroutine_context, coroutine, 0);
}
/* With rbp as it is in the caller, as a switch by hand leaves it. */
FUNCTION void make_by_hand(void (*entry)(void), char *stack) {
    void **top = (void **)(stack + LEN) - 16;
    top[0] = (void *)changing;
    top[1] = (void *)changing;
    top[2] = __builtin_frame_address(0);
    top[3] = (void *)entry;
    saved_sp[1] = top;
}
#define IN(outer, inner) FUNCTION void outer(void) { inner(); count++; }
IN(set_up_2, make) IN(set_up_1, set_up_2) IN(set_up, set_up_1)
FUNCTION void other_4(void) { count += 2; }
IN(other_3, other_4) IN(other_2, other_3) IN(other_1, other_2) IN(other, other_1)
FUNCTION void change(void) { change_stack(&saved_sp[0], saved_sp[1]); count++; }
FUNCTION void on_own_stack(void (*entry)(void)) {
    char stack[LEN];
    make_by_hand(entry, stack);
    for (int i = 0; i < 100; i++) { other(); change(); }
    KEEP(stack);
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    void (*entry)(void) = strncmp(how, "bare", 4) ? finish_entry : bare_entry;
    if (!strcmp(how, "makecontext")) {
        set_up();
        for (int i = 0; i < 100; i++) { other(); swapcontext(&back, &coroutine_context); }
    } else if (strstr(how, "-here")) {
        on_own_stack(entry);
    } else {
        make_by_hand(entry, new_stack());
        for (int i = 0; i < 100; i++) { other(); change(); }
    }
    return count > 0 ? 0 : 1;
}
