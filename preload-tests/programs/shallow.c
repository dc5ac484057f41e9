/* shallow N: N pairs of malloc and free, so near the root of the stack that it has fewer than four
   frames: from a thread's start function, or by -DOWN_START=1 or 2 from the program's own start or
   a function that it calls, or by -DCONSTRUCTOR from a constructor. */
#include "fixture.h"
#include <pthread.h>
#include <stdlib.h>

#define PAIRS(count)                                                                              \
    for (long i = 0; i < (count); i++) {                                                          \
        void *block = malloc(48);                                                                 \
        KEEP(block);                                                                              \
        free(block);                                                                              \
    }

#if defined(OWN_START)
void *count_of(char **stack) {
    return (void *)atol(stack[2]);
}
FUNCTION void pairs(long count) {
    PAIRS(count);
}
/* The root says so, as that of the C library does. */
__asm__(".globl _start\n"
        ".type _start, @function\n"
        "_start: .cfi_startproc\n"
        ".cfi_undefined rip\n"
        "xorl %ebp, %ebp\n"
        "movq %rsp, %rdi\n"
        "andq $-16, %rsp\n"
        "call count_of\n"
        "movq %rax, %rbx\n"
#if OWN_START == 1
        "1: movl $48, %edi\n"
        "call malloc@PLT\n"
        "movq %rax, %rdi\n"
        "call free@PLT\n"
        "decq %rbx\n"
        "jnz 1b\n"
#else
        "movq %rbx, %rdi\n"
        "call pairs\n"
#endif
        "xorl %edi, %edi\n"
        "call exit@PLT\n"
        "hlt\n"
        ".cfi_endproc\n"
        ".size _start, . - _start\n");
#elif defined(CONSTRUCTOR)
__attribute__((constructor)) void construct(int argc, char **argv) {
    if (argc == 2) PAIRS(atol(argv[1]));
}
int main(void) {
    return 0;
}
#else
static void *worker(void *count) {
    PAIRS((long)count);
    return NULL;
}
int main(int argc, char **argv) {
    pthread_t thread;
    if (argc != 2) return 1;
    if (pthread_create(&thread, NULL, worker, (void *)atol(argv[1]))) return 1;
    return pthread_join(thread, NULL);
}
#endif
