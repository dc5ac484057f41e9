// Blocks of operator new, a thousand of each kind.
#include <cstddef>
#include <new>

struct One { char bytes[777]; };
struct alignas(64) Aligned { char bytes[640]; };

#define FUNCTION __attribute__((noipa))
#define KEEP(value) __asm__ volatile("" : : "r"(value) : "memory")

FUNCTION void one() {
    for (int i = 0; i < 1000; i++) { One *block = new One; KEEP(block); delete block; }
}
FUNCTION void many() {
    for (int i = 0; i < 1000; i++) { char *block = new char[555]; KEEP(block); delete[] block; }
}
FUNCTION void aligned() {
    for (int i = 0; i < 1000; i++) { Aligned *block = new Aligned; KEEP(block); delete block; }
}

int main() {
    one();
    many();
    aligned();
}
