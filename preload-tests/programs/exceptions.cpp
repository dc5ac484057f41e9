// Exceptions through frames whose callees allocated, many times.
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include "fixture.h"

FUNCTION void thrower(int depth) {
    KEEP(malloc(80));
    if (depth == 0) throw std::runtime_error("expected");
    thrower(depth - 1);
    NO_TAIL_CALL();
}

FUNCTION int catcher() {
    int caught = 0;
    for (int i = 0; i < 100; i++) {
        try {
            thrower(9);
        } catch (const std::exception &) {
            caught++;
        }
    }
    return caught;
}

int main() { return catcher() == 100 ? 0 : 1; }
