/* Allocators of a program's own, to be hooked by name: entries of every shape that the replacement
   of an entry has to get right. Prints a checksum, which no hook may change. */
#include "fixture.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char room[1 << 16];
static size_t used;
static uint64_t sum;
static void note(uint64_t value) { sum = sum * 31 + value; }

/* The size is not the first argument; static, so that there is no dynamic symbol. */
static FUNCTION void *pool_take(void *pool, size_t size) {
    note((uintptr_t)pool - (uintptr_t)room + size);
    return room + (used = (used + size) % (sizeof room / 2));
}
/* A product. A call that overflows fails, and is not recorded. */
static FUNCTION void *pool_array(size_t count, size_t size) {
    if (size && count > SIZE_MAX / size) return NULL;
    note(count * 7 + size);
    return room;
}
/* Six integer and eight vector arguments, all of which must arrive. */
static FUNCTION void *pool_many(long a, long b, long c, long d, long e, long f, double g, double h,
                                double i, double j, double k, double l, double m, double n) {
    note(a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f);
    note(g + 2 * h + 3 * i + 4 * j + 5 * k + 6 * l + 7 * m + 8 * n);
    return room;
}
/* One size for all. */
static FUNCTION void *pool_fixed(void) {
    note(used);
    return room + 64;
}
/* Recursion counts once. */
static FUNCTION void *pool_deep(int depth, size_t size) {
    volatile int here = depth;
    void *block = depth ? pool_deep(depth - 1, size) : room;
    note(here);
    return block;
}
/* A call by a jump: no frame of its own. */
static FUNCTION void *pool_jump(void *pool, size_t size) { return pool_take(pool, size + 1); }
/* An allocation on the way to memory. */
static FUNCTION void *pool_grow(size_t size) {
    void *block = malloc(size + 16);
    note(size);
    return block;
}

/* Entries in assembly. */
void *jump_back(size_t size);
void *call_first(size_t size);
void *tiny(size_t size);
void nothing(size_t size);
void *relative_first(size_t size);
void *branch_first(size_t size);
extern uint64_t anchor;
__asm__(
    /* Jumps to behind its first byte. */
    ".text\n .p2align 4\n .type jump_back, @function\n jump_back:\n"
    " cld\n 1: inc %rax\n cmp $3, %rax\n jb 1b\n mov %rdi, %rax\n ret\n"
    " .size jump_back, . - jump_back\n"
    /* A call among its first bytes, and room behind it for the longer jump. */
    " .p2align 5\n .type call_first, @function\n call_first:\n"
    " sub $8, %rsp\n call helper\n add $8, %rsp\n ret\n .size call_first, . - call_first\n"
    " .p2align 5, 0xcc\n"
    /* Three bytes: a short jump to the room above. Then one byte, too short for any jump. */
    " .p2align 4\n before_tiny: mov $0x1122334455667788, %rax\n nop\n nop\n nop\n nop\n nop\n ret\n"
    " .type tiny, @function\n tiny:\n mov %edi, %eax\n ret\n .size tiny, . - tiny\n"
    " .type nothing, @function\n nothing:\n ret\n .size nothing, . - nothing\n"
    " behind_tiny: mov %rdi, %rax\n ret\n"
    /* Its first instruction is relative to its place. */
    " .p2align 4\n .type relative_first, @function\n relative_first:\n"
    " mov anchor(%rip), %rax\n add %rdi, %rax\n ret\n .size relative_first, . - relative_first\n"
    /* A conditional branch among its first bytes. */
    " .p2align 4\n .type branch_first, @function\n branch_first:\n"
    " test %rdi, %rdi\n je 2f\n lea 1(%rdi), %rax\n ret\n 2: mov $99, %eax\n ret\n"
    " .size branch_first, . - branch_first\n");
__attribute__((used)) void *helper(size_t size) { return (void *)(size ^ 5); }
__attribute__((used)) uint64_t anchor = 1000;

FUNCTION void ask(void) {
    KEEP(pool_take(room, 100));
    KEEP(pool_array(6, 7));
    KEEP(pool_array(SIZE_MAX, SIZE_MAX));
    KEEP(pool_many(1, 2, 3, 4, 5, 66, .5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5));
    KEEP(pool_fixed());
    KEEP(pool_deep(5, 200));
    KEEP(pool_jump(room, 300));
    /* Through a pointer the call does not say where it leads. */
    void *(*volatile jump)(void *, size_t) = pool_jump;
    KEEP(jump(room, 400));
    void *block = pool_grow(500);
    KEEP(block);
    free(block);
    note((uintptr_t)jump_back(600));
    note((uintptr_t)call_first(601));
    note((uintptr_t)tiny(602));
    nothing(605);
    note((uintptr_t)relative_first(603));
    note((uintptr_t)branch_first(604));
    note((uintptr_t)branch_first(0));
    NO_TAIL_CALL();
}

int main(void) {
    used = 0;
    for (int i = 0; i < 3; i++) ask();
    printf("%016llx\n", (unsigned long long)sum);
    return 0;
}
