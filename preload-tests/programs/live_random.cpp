// A random program, the same for the same arguments: every function that allocates, every way to free,
// by the thread that allocated and by others.
//
// live_random SEED THREADS OPERATIONS [ROUNDS]
//
// THREADS 0: in the main thread alone. With ROUNDS, so many groups of threads one after another, so that
// what ended threads left behind is freed by new ones.
#include "fixture.h"
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <malloc.h>
#include <new>
#include <pthread.h>

namespace {

struct Random {
    uint64_t state;
    uint64_t next() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state * 0x2545F4914F6CDD1Dull;
    }
    uint64_t below(uint64_t n) { return (next() >> 33) % n; }
};

const size_t SIZES[] = {0, 1, 8, 16, 24, 25, 40, 72, 100, 128, 257, 640, 1000, 1032, 4096, 5000, 20000, 70000, 140000, 300000};
const int COUNT = sizeof SIZES / sizeof *SIZES;
// No machine has this much.
const size_t HUGE_SIZE = size_t(1) << 46;

std::atomic<void *> shared[256];
pthread_barrier_t barrier;
void (*free_sized_)(void *, size_t);
void (*free_aligned_sized_)(void *, size_t, size_t);
void (*cfree_)(void *);

size_t a_size(Random &random) {
    if (random.below(8) == 0) return random.below(3000);
    // Small ones more often.
    return SIZES[random.below(1 + random.below(COUNT))];
}

FUNCTION void *from_one(size_t size) { void *p = malloc(size); NO_TAIL_CALL(); return p; }
FUNCTION void *from_two(size_t size) { void *p = malloc(size); NO_TAIL_CALL(); return p; }
FUNCTION void *deeper(int depth, size_t size) {
    void *p = depth ? deeper(depth - 1, size) : from_one(size);
    NO_TAIL_CALL();
    return p;
}

FUNCTION void *take(Random &random) {
    size_t size = a_size(random);
    size_t alignment = size_t(16) << random.below(9);
    void *p = nullptr;
    switch (random.below(16)) {
    case 0: p = from_two(size); break;
    case 1: p = deeper(int(random.below(6)), size); break;
    case 2: p = calloc(size / 8 + 1, 8); break;
    case 3: p = calloc(1, size); break;
    case 4: p = realloc(nullptr, size); break;
    case 5: p = reallocarray(nullptr, size / 4, 4); break;
    case 6: if (posix_memalign(&p, alignment, size)) abort(); break;
    case 7: p = aligned_alloc(alignment, size); break;
    case 8: p = memalign(alignment, size); break;
    case 9: p = random.below(4) ? malloc(size) : valloc(size); break;
    case 10: p = random.below(4) ? malloc(size) : pvalloc(size); break;
    case 11: p = operator new(size); break;
    case 12: p = operator new[](size, std::nothrow); break;
    case 13: p = operator new(size, std::align_val_t(alignment)); break;
    case 14: p = from_one(size); break;
    case 15: p = malloc(size); break;
    }
    if (!p) abort();
    KEEP(p);
    return p;
}

// What glibc's allocator gives may be freed by any of its functions.
FUNCTION void give(Random &random, void *p) {
    if (!p) return;
    switch (random.below(8)) {
    case 0: operator delete(p); break;
    case 1: operator delete[](p, std::nothrow); break;
    case 2: if (cfree_) cfree_(p); else free(p); break;
    case 3: if (free_sized_) free_sized_(p, 1); else free(p); break;
    case 4: if (free_aligned_sized_) free_aligned_sized_(p, 16, 16); else free(p); break;
    case 5: if (realloc(p, 0)) abort(); break;
    default: free(p); break;
    }
    KEEP(p);
}

FUNCTION void *change(Random &random, void *p) {
    size_t usable = malloc_usable_size(p);
    void *q;
    switch (random.below(8)) {
    case 0: q = realloc(p, usable / 2 + 1); break;
    case 1: q = realloc(p, usable * 2 + 10); break;
    case 2: q = realloc(p, usable); break;
    case 3: q = reallocarray(p, usable / 16 + 2, 20); break;
    case 4: if (realloc(p, HUGE_SIZE)) abort(); q = p; break;
    case 5: if (reallocarray(p, SIZE_MAX / 2, 3)) abort(); q = p; break;
    case 6: if (reallocarray(p, 0, 16)) abort(); return nullptr;
    default: q = realloc(p, a_size(random) + 1); break;
    }
    if (!q) abort();
    KEEP(q);
    return q;
}

struct Work { uint64_t seed, operations; };

void work(const Work &work) {
    Random random{work.seed * 0x9E3779B97F4A7C15ull + 1};
    void *own[64] = {};
    // The number of live blocks rises and falls, so that there is a peak within the run.
    uint64_t turn = work.operations * 2 / 3;
    for (uint64_t i = 0; i < work.operations; i++) {
        void *&slot = own[random.below(64)];
        uint64_t kind = random.below(100);
        if (kind < 30) {
            give(random, slot);
            slot = nullptr;
            if (i < turn || random.below(2)) slot = take(random);
        } else if (kind < 50) {
            give(random, take(random));
        } else if (kind < 75) {
            if (slot) slot = change(random, slot);
        } else if (kind < 90) {
            slot = shared[random.below(256)].exchange(slot);
        } else if (kind < 97) {
            give(random, shared[random.below(256)].exchange(nullptr));
        } else if (kind < 98) {
            KEEP(take(random)); // leaked
        } else {
            if (malloc(HUGE_SIZE)) abort();
            if (calloc(SIZE_MAX / 2, 3)) abort();
        }
    }
    for (int i = 0; i < 64; i += 2) give(random, own[i]);
}

void *thread(void *argument) {
    pthread_barrier_wait(&barrier);
    work(*static_cast<Work *>(argument));
    pthread_barrier_wait(&barrier);
    return nullptr;
}

} // namespace

int main(int, char **arguments) {
    uint64_t seed = strtoull(arguments[1], nullptr, 10);
    unsigned threads = unsigned(atoi(arguments[2]));
    uint64_t operations = strtoull(arguments[3], nullptr, 10);
    int rounds = arguments[4] ? atoi(arguments[4]) : 1;
    free_sized_ = reinterpret_cast<void (*)(void *, size_t)>(dlsym(RTLD_DEFAULT, "free_sized"));
    free_aligned_sized_ = reinterpret_cast<void (*)(void *, size_t, size_t)>(dlsym(RTLD_DEFAULT, "free_aligned_sized"));
    cfree_ = reinterpret_cast<void (*)(void *)>(dlsym(RTLD_DEFAULT, "cfree"));
    if (!threads) work({seed, operations});
    for (int round = 0; round < rounds && threads; round++) {
        pthread_t ids[64];
        Work works[64];
        pthread_barrier_init(&barrier, nullptr, threads);
        for (unsigned i = 0; i < threads; i++) {
            works[i] = {seed * 1000 + unsigned(round) * 64 + i, operations};
            if (pthread_create(&ids[i], nullptr, thread, &works[i])) abort();
        }
        for (unsigned i = 0; i < threads; i++) pthread_join(ids[i], nullptr);
        pthread_barrier_destroy(&barrier);
    }
    Random random{seed + 7};
    for (int i = 0; i < 256; i += 3) give(random, shared[i].exchange(nullptr));
    return 0;
}
