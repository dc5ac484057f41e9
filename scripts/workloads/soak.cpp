// soak SEED STEPS COUNTS PLUGIN: everything that is hard on a profiler, at random from the seed.
//
// Every allocation to be checked is made by a function whose name begins with `soak_`, and is counted by
// the program itself in memory that all its processes share. At the end the number goes to the file COUNTS.
// `soak leaf N` is what the processes execute: it makes N allocations, which its parent has counted.
#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <pthread.h>
#include <spawn.h>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include <vector>

#define FUNCTION __attribute__((noipa))
#define KEEP(value) __asm__ volatile("" : : "r"(value) : "memory")

extern char **environ;
static std::atomic<long> *counter;
static const char *self_path, *plugin_path;

extern "C" void soak_count() { counter->fetch_add(1, std::memory_order_relaxed); }

struct Random {
    uint64_t state;
    uint32_t below(uint32_t n) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        return uint32_t(state >> 33) % n;
    }
};

extern "C" {
FUNCTION void *soak_malloc(size_t n) { soak_count(); void *p = malloc(n); KEEP(p); return p; }
FUNCTION void *soak_calloc(size_t n) { soak_count(); void *p = calloc(n, 3); KEEP(p); return p; }
FUNCTION void *soak_realloc(void *q, size_t n) { soak_count(); void *p = realloc(q, n); KEEP(p); return p; }
FUNCTION void *soak_memalign(size_t n) {
    void *p = nullptr;
    soak_count();
    if (posix_memalign(&p, 64, n) != 0) abort();
    return p;
}
FUNCTION void *soak_new(size_t n) { soak_count(); char *p = new char[n]; KEEP(p); return p; }

// A pool that is hooked by name; it may be used at any moment, also in a signal handler.
FUNCTION void *take_from_pool(size_t n) {
    static char room[4096];
    static std::atomic<size_t> used;
    return room + used.fetch_add(n) % 4096;
}
FUNCTION void soak_pool(size_t n) { soak_count(); KEEP(take_from_pool(n)); }
}

static void *take(Random &random) {
    size_t n = 1 + random.below(300);
    switch (random.below(6)) {
    case 0: return soak_calloc(n);
    case 1: return soak_memalign(n);
    case 2: return soak_realloc(soak_malloc(n), n * 2);
    case 3: soak_pool(n); return soak_malloc(n);
    default: return soak_malloc(n);
    }
}

// Interrupts whatever runs: the hot path too, since the pool is hooked.
FUNCTION static void handler(int) {
    int saved = errno;
    soak_pool(7);
    errno = saved;
}
// Raised where it may allocate.
FUNCTION static void allocating_handler(int) { free(soak_malloc(77)); }

// Blocks that go from thread to thread.
static std::atomic<void *> slots[256];
static void exchange(Random &random) {
    void *old = slots[random.below(256)].exchange(take(random));
    if (old && random.below(2)) old = soak_realloc(old, 1 + random.below(900));
    free(old);
}

FUNCTION static int deep(int depth, Random &random) {
    if (depth == 0) { free(take(random)); return 1; }
    int sum = deep(depth - 1, random) + 1;
    KEEP(sum);
    return sum;
}

FUNCTION static void throws(int depth, Random &random) {
    std::vector<char> room(1 + random.below(50));
    KEEP(room.data());
    if (depth == 0) { free(take(random)); throw std::runtime_error("soak"); }
    throws(depth - 1, random);
    KEEP(depth);
}

FUNCTION static void jumps(jmp_buf back, Random &random) { free(take(random)); longjmp(back, 1); }

struct Coroutine { ucontext_t back, own; Random random; };
static void run_coroutine(unsigned high, unsigned low) {
    auto *c = reinterpret_cast<Coroutine *>(uintptr_t(high) << 32 | low);
    for (int i = 0; i < 3; i++) {
        free(take(c->random));
        if (i == 1) swapcontext(&c->own, &c->back);
    }
}
static void coroutine(Random &random) {
    const size_t length = 64 << 10;
    auto *c = new Coroutine;
    c->random.state = random.below(1u << 31);
    void *stack = soak_malloc(length);
    getcontext(&c->own);
    c->own.uc_stack.ss_sp = stack;
    c->own.uc_stack.ss_size = length;
    c->own.uc_link = &c->back;
    auto address = reinterpret_cast<uintptr_t>(c);
    makecontext(&c->own, reinterpret_cast<void (*)()>(run_coroutine), 2, unsigned(address >> 32), unsigned(address));
    swapcontext(&c->back, &c->own);
    free(take(random));
    swapcontext(&c->back, &c->own);
    memset(stack, 0xa5, length);
    free(stack);
    delete c;
}

static void wait_for(pid_t child, int status) {
    int found;
    while (waitpid(child, &found, 0) < 0)
        if (errno != EINTR) abort();
    if (!WIFEXITED(found) || WEXITSTATUS(found) != status) { fprintf(stderr, "child: %x\n", found); abort(); }
}

static void leaf_arguments(Random &random, char *number, char *arguments[4]) {
    int calls = 1 + random.below(50);
    counter->fetch_add(calls);
    sprintf(number, "%d", calls);
    arguments[0] = const_cast<char *>(self_path);
    arguments[1] = const_cast<char *>("leaf");
    arguments[2] = number;
    arguments[3] = nullptr;
}

static void forks(Random &random) {
    char number[16], *arguments[4];
    int how = random.below(4);
    if (how == 0) {
        pid_t child;
        leaf_arguments(random, number, arguments);
        if (posix_spawn(&child, self_path, nullptr, nullptr, arguments, environ) != 0) abort();
        return wait_for(child, 0);
    }
    bool executes = how == 1;
    if (executes) leaf_arguments(random, number, arguments);
    Random childs{random.below(1u << 31)};
    pid_t child = fork();
    if (child == 0) {
        for (int i = childs.below(30); i > 0; i--) free(take(childs));
        if (how == 2) {
            pid_t grandchild = fork();
            if (grandchild == 0) { free(take(childs)); _exit(4); }
            wait_for(grandchild, 4);
        }
        if (executes) { execv(self_path, arguments); abort(); }
        _exit(3);
    }
    if (child < 0) abort();
    wait_for(child, executes ? 0 : 3);
}

static void *short_thread(void *seed) {
    Random random{reinterpret_cast<uint64_t>(seed)};
    for (int i = random.below(20); i > 0; i--) exchange(random);
    if (random.below(2)) pthread_exit(soak_new(9));
    return soak_new(8);
}

static void threads(Random &random) {
    pthread_t thread;
    void *result;
    if (pthread_create(&thread, nullptr, short_thread, reinterpret_cast<void *>(uint64_t(random.below(1u << 31)))) != 0) abort();
    pthread_join(thread, &result);
    delete[] static_cast<char *>(result);
}

static void loads(Random &random) {
    void *handle = dlopen(plugin_path, RTLD_NOW);
    if (!handle) { fprintf(stderr, "%s\n", dlerror()); abort(); }
    reinterpret_cast<void (*)(int)>(dlsym(handle, "plugin_work"))(random.below(20));
    if (dlclose(handle) != 0) abort();
}

FUNCTION static void act(Random &random) {
    switch (random.below(100)) {
    case 0: forks(random); break;
    case 1: case 2: loads(random); break;
    case 3: case 4: case 5: threads(random); break;
    case 6: case 7: case 8: coroutine(random); break;
    case 9: deep(random.below(5000), random); break;
    case 10: case 11: case 12:
        try { throws(random.below(30), random); } catch (const std::runtime_error &) { free(take(random)); }
        break;
    case 13: case 14: {
        jmp_buf back;
        if (setjmp(back) == 0) jumps(back, random);
        break;
    }
    case 15: case 16: raise(SIGUSR1); break;
    default:
        for (int i = 0; i < 100; i++) exchange(random);
    }
}

struct Work { uint64_t seed; int steps; };
static void *worker(void *data) {
    auto *work = static_cast<Work *>(data);
    Random random{work->seed};
    for (int i = 0; i < work->steps; i++) act(random);
    return nullptr;
}

static int leaf(int calls) {
    static std::atomic<long> own;
    counter = &own;
    for (int i = 0; i < calls; i++) free(soak_malloc(11 + i % 5));
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "leaf") == 0) return leaf(atoi(argv[2]));
    if (argc != 5) return 2;
    self_path = "/proc/self/exe";
    plugin_path = argv[4];
    counter = static_cast<std::atomic<long> *>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    struct sigaction action = {};
    action.sa_flags = SA_RESTART;
    action.sa_handler = handler;
    sigaction(SIGALRM, &action, nullptr);
    action.sa_handler = allocating_handler;
    sigaction(SIGUSR1, &action, nullptr);
    itimerval timer = {{0, 900}, {0, 900}};
    setitimer(ITIMER_REAL, &timer, nullptr);
    Random random{strtoull(argv[1], nullptr, 10)};
    pthread_t workers[4];
    Work work[4];
    for (int i = 0; i < 4; i++) {
        work[i] = {random.below(1u << 31), atoi(argv[2]) / 4};
        pthread_create(&workers[i], nullptr, worker, &work[i]);
    }
    for (auto thread : workers) pthread_join(thread, nullptr);
    timer = {};
    setitimer(ITIMER_REAL, &timer, nullptr);
    signal(SIGALRM, SIG_IGN);
    FILE *counts = fopen(argv[3], "w");
    if (!counts) return 2;
    fprintf(counts, "%ld\n", counter->load());
    fclose(counts);
    puts("done");
    return 7;
}
