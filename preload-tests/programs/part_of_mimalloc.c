/* What the linker leaves of mimalloc in a program whose only caller is Rust's global allocator. */
#include "fixture.h"
#include <stddef.h>

static _Alignas(64) char arena[4096];
static size_t used;

FUNCTION void *mi_malloc_aligned(size_t size, size_t alignment) {
    used = (used + alignment - 1) & -alignment;
    void *block = arena + used;
    used += size;
    return block;
}

FUNCTION void ask(void) {
    KEEP(mi_malloc_aligned(40, 16));
    NO_TAIL_CALL();
}

int main(void) {
    for (int i = 0; i < 5; i++) ask();
    return 0;
}
