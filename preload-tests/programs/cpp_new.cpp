// operator new in every form, and what the standard library builds on it.
#include <cstddef>
#include <memory>
#include <new>
#include <string>
#include <vector>
#include "fixture.h"

struct alignas(64) Aligned { char bytes[192]; };
struct Thing { char bytes[40]; };

FUNCTION void by_new() { KEEP(new Thing); }
FUNCTION void by_new_array() { KEEP(new char[41]); }
FUNCTION void by_nothrow() { KEEP(new (std::nothrow) char); }
FUNCTION void by_nothrow_array() { KEEP(new (std::nothrow) char[43]); }
FUNCTION void by_aligned_new() { KEEP(new Aligned); }
FUNCTION void by_aligned_new_array() { KEEP(new Aligned[2]); }
FUNCTION void by_aligned_nothrow() { KEEP(new (std::nothrow) Aligned[3]); }
FUNCTION void by_vector() {
    std::vector<int> numbers;
    numbers.reserve(100);
    KEEP(numbers.data());
}
FUNCTION void by_string() {
    std::string text(1000, 'x');
    KEEP(text.data());
}
FUNCTION void by_make_shared() {
    auto thing = std::make_shared<Thing>();
    KEEP(thing.get());
}
FUNCTION void by_make_unique() {
    auto thing = std::make_unique<Aligned[]>(4);
    KEEP(thing.get());
}

namespace acme {
template <typename T> struct Maker {
    FUNCTION static T *make(int count) {
        T *block = new T[count];
        KEEP(block);
        return block;
    }
};
}

FUNCTION int everything() {
    by_new();
    by_new_array();
    by_nothrow();
    by_nothrow_array();
    by_aligned_new();
    by_aligned_new_array();
    by_aligned_nothrow();
    by_vector();
    by_string();
    by_make_shared();
    by_make_unique();
    KEEP(acme::Maker<long>::make(7));
    return 0;
}

int main() {
    int result = everything();
    NO_TAIL_CALL();
    return result;
}
