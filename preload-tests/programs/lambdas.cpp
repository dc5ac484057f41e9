// Lambdas, which names tell apart by their position alone. With -DADDED one stands before the others.
#include <cstdlib>

static void *volatile sink;

template <class F> __attribute__((noinline)) void repeat(int times, F f) {
    for (int i = 0; i < times; i++) {
        sink = f(i);
        free(sink);
    }
}

int main() {
#ifdef ADDED
    repeat(3, [](int) __attribute__((noinline)) { return malloc(500); });
#endif
    repeat(10, [](int) __attribute__((noinline)) { return malloc(40); });
    repeat(20, [](int i) __attribute__((noinline)) { return malloc(80 + i % 2); });
}
