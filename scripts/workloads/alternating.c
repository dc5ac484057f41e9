/* alternating PAIRS: pairs of malloc and free, 10 and 20 frames below main in turn. */
#include <stdlib.h>

#define FUNCTION __attribute__((noinline, noclone))
#define KEEP(value) __asm__ volatile("" : : "r"(value) : "memory")

FUNCTION static void shallow(size_t size) {
    void *block = malloc(size);
    KEEP(block);
    free(block);
}

FUNCTION static void deep(size_t size) {
    void *block = malloc(size);
    KEEP(block);
    free(block);
}

/* The call returns here, so that it is no tail call. */
FUNCTION static void descend(int levels, void work(size_t), size_t size) {
    if (levels == 0) work(size);
    else descend(levels - 1, work, size);
    KEEP(levels);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    for (long left = atol(argv[1]); left > 0; left -= 2) {
        descend(8, shallow, 32);
        descend(18, deep, 48);
    }
    return 0;
}
