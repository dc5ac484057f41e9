/* The event log of the live heap: slow, simple, no code in common with the profiler.
 *
 * Preloaded before the profiler, it stands between the program and the profiler and appends one
 * record for each successful call (and each realloc) to the file ORACLE_LOG. One mutex is held
 * around the call and its record, so that the log has all events in the one order in which they
 * happened. The file is mapped and shared: nothing is lost however the process ends. A child of
 * fork passes its calls on and logs nothing.
 *
 * Calls that are made inside of a call are not the program's: what the C library allocates for the
 * profiler's own doings, for one. They are passed on and not logged. (A signal handler that
 * allocates while its thread is in here would be taken for that.)
 *
 * The caller is the return address of the call. Of C++'s operator new it is that function's own
 * caller, as libgcc's unwinder finds it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
/* (What is built for musl has no C++, and libgcc's unwinder is glibc's.) */
#ifdef __GLIBC__
#include <unwind.h>
#endif

enum function {
    MALLOC, CALLOC, REALLOC, REALLOCARRAY, POSIX_MEMALIGN, ALIGNED_ALLOC, MEMALIGN, VALLOC, PVALLOC,
    FREE = 16, CFREE, FREE_SIZED, FREE_ALIGNED_SIZED
};

struct record {
    uint64_t old, result, requested, usable, caller;
    /* Of the thread, so far, this one included. */
    uint64_t allocations;
    /* From 1, in the order of their first event. */
    uint32_t thread;
    uint32_t function;
    uint64_t ns;
};
#define CAPACITY (64ul << 20)
struct log { uint64_t used; uint64_t reserved[511]; struct record records[CAPACITY]; };

static struct log *events;
static int logging;
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static uint32_t threads;
static __thread struct { uint32_t number, depth; uint64_t allocations; } self
    __attribute__((tls_model("initial-exec")));

static void *(*next_malloc)(size_t), *(*next_calloc)(size_t, size_t), *(*next_realloc)(void *, size_t);
static void *(*next_reallocarray)(void *, size_t, size_t), *(*next_aligned_alloc)(size_t, size_t);
static void *(*next_memalign)(size_t, size_t), *(*next_valloc)(size_t), *(*next_pvalloc)(size_t);
static int (*next_posix_memalign)(void **, size_t, size_t);
static void (*next_free)(void *), (*next_cfree)(void *), (*next_free_sized)(void *, size_t);
static void (*next_free_aligned_sized)(void *, size_t, size_t);
static size_t (*next_usable_size)(void *);

/* What the loader allocates while the next definitions are looked up; never given back. */
static _Alignas(16) char early_room[1 << 14];
static size_t early_used;
static int starting;

static void *early(size_t size) {
    void *block = early_room + early_used;
    early_used += (size + 15) & ~15ul;
    if (early_used > sizeof early_room) _exit(97);
    return block;
}

static int is_early(void *block) {
    return (char *)block >= early_room && (char *)block < early_room + sizeof early_room;
}

static void in_prepare(void) { pthread_mutex_lock(&order); }
static void in_parent(void) { pthread_mutex_unlock(&order); }
static void in_child(void) {
    logging = 0;
    pthread_mutex_unlock(&order);
}

static void start(void) {
    starting = 1;
#define NEXT(name) next_##name = (__typeof__(next_##name))dlsym(RTLD_NEXT, #name)
    NEXT(malloc), NEXT(calloc), NEXT(realloc), NEXT(reallocarray), NEXT(aligned_alloc), NEXT(memalign);
    NEXT(valloc), NEXT(pvalloc), NEXT(posix_memalign), NEXT(free);
    NEXT(cfree), NEXT(free_sized), NEXT(free_aligned_sized);
    next_usable_size = (__typeof__(next_usable_size))dlsym(RTLD_NEXT, "malloc_usable_size");
    const char *path = getenv("ORACLE_LOG");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) {
        if (ftruncate(fd, sizeof *events)) _exit(99);
        void *map = mmap(NULL, sizeof *events, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
        if (map == MAP_FAILED) _exit(99);
        close(fd);
        events = map;
        logging = 1;
    }
    pthread_atfork(in_prepare, in_parent, in_child);
    starting = 0;
}

/* Is the call that returns there made by operator new? */
static int is_in_new(uint64_t pc) {
    static struct { uint64_t pc; int answer; } known[4096];
    unsigned slot = pc % 4096;
    if (known[slot].pc != pc) {
        Dl_info info;
        int found = dladdr((void *)(pc - 1), &info) && info.dli_sname;
        known[slot].answer = found && (!strncmp(info.dli_sname, "_Znw", 4) || !strncmp(info.dli_sname, "_Zna", 4));
        known[slot].pc = pc;
    }
    return known[slot].answer;
}

struct walk { uint64_t from, found; int passed; };

#ifdef __GLIBC__
static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *argument) {
    struct walk *walk = argument;
    uint64_t pc = _Unwind_GetIP(context);
    walk->passed |= pc == walk->from;
    if (!walk->passed || is_in_new(pc)) return _URC_NO_REASON;
    walk->found = pc;
    return _URC_END_OF_STACK;
}
#endif

/* With the mutex held. */
static void record(enum function function, void *old, void *result, size_t requested, void *caller) {
    int error = errno;
    if (!self.number) self.number = ++threads;
    if (result) self.allocations++;
    if (events->used == CAPACITY) _exit(98);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct walk walk = {(uint64_t)caller, (uint64_t)caller, 0};
#ifdef __GLIBC__
    if (is_in_new(walk.from)) _Unwind_Backtrace(step, &walk);
#endif
    events->records[events->used] = (struct record){
        (uint64_t)old, (uint64_t)result, requested, result ? next_usable_size(result) : 0, walk.found,
        self.allocations, self.number, function,
        (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec};
    __atomic_store_n(&events->used, events->used + 1, __ATOMIC_RELEASE);
    errno = error;
}

/* True for a call that is to be logged; the mutex is held until `leave`. */
static int enter(void) {
    if (!next_free) start();
    if (!logging) return 0;
    if (self.depth++) {
        self.depth--;
        return 0;
    }
    pthread_mutex_lock(&order);
    return 1;
}

static void leave(int entered) {
    if (!entered) return;
    pthread_mutex_unlock(&order);
    self.depth--;
}

#define CALLER __builtin_return_address(0)
#define ALLOCATION(function, call, size) do { \
        int entered = enter(); \
        void *block = call; \
        if (entered && block) record(function, NULL, block, size, CALLER); \
        leave(entered); \
        return block; \
    } while (0)
#define DEATH(function, call, block) do { \
        if (!block || is_early(block)) return; \
        int entered = enter(); \
        call; \
        if (entered) record(function, block, NULL, 0, CALLER); \
        leave(entered); \
    } while (0)

void *malloc(size_t size) {
    if (starting) return early(size);
    ALLOCATION(MALLOC, next_malloc(size), size);
}
void *calloc(size_t count, size_t size) {
    if (starting) return early(count * size);
    ALLOCATION(CALLOC, next_calloc(count, size), count * size);
}
void *memalign(size_t alignment, size_t size) { ALLOCATION(MEMALIGN, next_memalign(alignment, size), size); }
void *aligned_alloc(size_t alignment, size_t size) { ALLOCATION(ALIGNED_ALLOC, next_aligned_alloc(alignment, size), size); }
void *valloc(size_t size) { ALLOCATION(VALLOC, next_valloc(size), size); }
void *pvalloc(size_t size) { ALLOCATION(PVALLOC, next_pvalloc(size), size); }

int posix_memalign(void **place, size_t alignment, size_t size) {
    int entered = enter();
    int error = next_posix_memalign(place, alignment, size);
    if (entered && !error) record(POSIX_MEMALIGN, NULL, *place, size, CALLER);
    leave(entered);
    return error;
}

void *realloc(void *old, size_t size) {
    if (starting || is_early(old)) _exit(97);
    int entered = enter();
    void *block = next_realloc(old, size);
    if (entered) record(REALLOC, old, block, size, CALLER);
    leave(entered);
    return block;
}

/* An overflow is logged as a size that no block has. */
void *reallocarray(void *old, size_t count, size_t size) {
    size_t bytes;
    if (starting || is_early(old)) _exit(97);
    if (__builtin_mul_overflow(count, size, &bytes)) bytes = SIZE_MAX;
    int entered = enter();
    void *block = next_reallocarray(old, count, size);
    if (entered) record(REALLOCARRAY, old, block, bytes, CALLER);
    leave(entered);
    return block;
}

void free(void *block) { DEATH(FREE, next_free(block), block); }
void cfree(void *block) { DEATH(CFREE, (next_cfree ? next_cfree : next_free)(block), block); }
/* The C library may not have these two yet. */
void free_sized(void *block, size_t size) {
    DEATH(FREE_SIZED, next_free_sized ? next_free_sized(block, size) : next_free(block), block);
}
void free_aligned_sized(void *block, size_t alignment, size_t size) {
    DEATH(FREE_ALIGNED_SIZED,
          next_free_aligned_sized ? next_free_aligned_sized(block, alignment, size) : next_free(block), block);
}
