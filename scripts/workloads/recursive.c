/* recursive STACKS VISITS: a recursive program with that many distinct stacks, which visits each that
   many times: a tree of calls, 20 deep for 760,000 stacks, whose every path is a stack of its own.
   Six functions call each other, as in a parser. Each call allocates at two places. */
#include <stdint.h>
#include <stdlib.h>

#define FUNCTION __attribute__((noinline, noclone))

typedef void Call(uint64_t node, uint64_t nodes);

static void allocate_and_free(size_t size);
static Call first, second, third, fourth, fifth, sixth;

static inline uint64_t mixed(uint64_t node) {
    node *= 0x9E3779B97F4A7C15;
    return node ^ node >> 32;
}

/* A block that the compiler has to make. */
static inline __attribute__((always_inline)) void allocate_and_free(size_t size) {
    void *block = malloc(size);
    __asm__ volatile("" : : "r"(block) : "memory");
    free(block);
}

/* The children of a node are called from two places, so that their paths differ; which function it
   is depends on the node alone. */
#define FUNCTIONS(name, a, b, c, size)                                                             \
    FUNCTION static void name(uint64_t node, uint64_t nodes) {                                     \
        allocate_and_free(size);                                                                   \
        uint64_t random = mixed(node), child = 2 * node;                                           \
        if (child <= nodes) (random % 3 == 0 ? a : random % 3 == 1 ? b : c)(child, nodes);         \
        allocate_and_free(size + 16);                                                              \
        child++;                                                                                   \
        random >>= 8;                                                                              \
        if (child <= nodes) (random % 3 == 0 ? a : random % 3 == 1 ? b : c)(child, nodes);         \
        __asm__ volatile("" : : "r"(node) : "memory");                                             \
    }
FUNCTIONS(first, second, third, fourth, 16)
FUNCTIONS(second, first, fifth, sixth, 32)
FUNCTIONS(third, first, second, third, 48)
FUNCTIONS(fourth, fifth, sixth, first, 24)
FUNCTIONS(fifth, third, fourth, sixth, 64)
FUNCTIONS(sixth, fourth, second, fifth, 40)

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    uint64_t nodes = strtoull(argv[1], NULL, 10) / 2;
    for (long visits = atol(argv[2]); visits > 0; visits--) first(1, nodes);
    return 0;
}
