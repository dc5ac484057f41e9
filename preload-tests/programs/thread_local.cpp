// Objects of a thread whose constructors and destructors allocate.
#include <cstdlib>
#include <thread>
#include <vector>
#include "fixture.h"

struct Object {
    FUNCTION Object() { KEEP(malloc(60)); }
    FUNCTION ~Object() { KEEP(malloc(61)); }
};
thread_local Object object;

FUNCTION void touch() { KEEP(&object); }

int main() {
    for (int round = 0; round < 10; round++) {
        std::vector<std::thread> threads;
        for (int i = 0; i < 5; i++) threads.emplace_back(touch);
        for (auto &thread : threads) thread.join();
    }
}
