// Allocation wrappers of the user's own, which SKIP_HEAP_TRIM takes out of the stacks.
#include <cstdlib>
#include "fixture.h"

extern "C" FUNCTION void *xmalloc(size_t size) {
    void *block = malloc(size);
    KEEP(block);
    return block;
}
extern "C" FUNCTION void *xcalloc(size_t size) {
    void *block = calloc(1, size);
    KEEP(block);
    return block;
}
namespace acme {
struct Arena {
    FUNCTION static void *grow(unsigned long size) {
        void *block = xmalloc(size);
        KEEP(block);
        return block;
    }
};
FUNCTION void *pool_take(int count) {
    void *block = Arena::grow(count * 100ul);
    KEEP(block);
    return block;
}
}

extern "C" FUNCTION void user() {
    KEEP(acme::pool_take(3));
    KEEP(xcalloc(40));
}
extern "C" FUNCTION void caller() {
    user();
    NO_TAIL_CALL();
}

int main() {
    caller();
    NO_TAIL_CALL();
}
