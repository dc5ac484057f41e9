// Functions that the compiler inlines, a thread, blocks that stay. The test gives `strange_one` and `strange_two`
// names that are more than text in one format or another.
#include <cstdlib>
#include <thread>
#include <vector>
#include "fixture.h"

#define ALWAYS static inline __attribute__((always_inline))

ALWAYS void *innermost(std::size_t size) {
    void *block = malloc(size);
    KEEP(block);
    return block;
}
ALWAYS void *middle(std::size_t size) { return innermost(size + 1); }

extern "C" FUNCTION void *strange_two(std::size_t size) { return middle(size); }
extern "C" FUNCTION void *strange_one(std::size_t size) {
    void *block = strange_two(size);
    NO_TAIL_CALL();
    return block;
}

namespace acme {
template <typename T> struct List {
    FUNCTION static void fill(std::vector<T> &items, int count) {
        for (int i = 0; i < count; i++) items.push_back(T(i));
    }
};
}

FUNCTION void work() {
    std::vector<long> items;
    acme::List<long>::fill(items, 1000);
    for (int i = 0; i < 100; i++) free(strange_one(99));
    KEEP(strange_one(4999)); // stays
}

int main() {
    std::thread other(work);
    other.join();
    work();
    NO_TAIL_CALL();
}
