/* Allocates in functions that are inlined into others, at several depths. */
#include <stdlib.h>

#define INLINE static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))

INLINE void *inner(size_t size)
{
    return malloc(size);
}

INLINE void *outer(size_t size)
{
    return inner(size + 1);
}

NOINLINE void *take(size_t size)
{
    void *block = outer(size);
    *(volatile char *)block = 1;
    return block;
}

INLINE void *twice(size_t size)
{
    free(take(size));
    return take(size + 100);
}

NOINLINE void *parse(size_t size)
{
    void *block = twice(size);
    *(volatile char *)block = 2;
    return block;
}

int main(void)
{
    free(parse(7));
    free(parse(8));
    free(inner(3000));
    return 0;
}
