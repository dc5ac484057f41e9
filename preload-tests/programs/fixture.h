/* What the C fixtures share: functions that stay functions at every level of optimisation. */
#ifndef FIXTURE_H
#define FIXTURE_H

/* Never inlined, cloned or specialised, so that its name is in every stack. */
#if defined(__clang__)
#define FUNCTION __attribute__((noinline, optnone))
#else
#define FUNCTION __attribute__((noipa))
#endif

/* Uses a value: an allocation is not optimised away, and a call before it is no tail call. */
#define KEEP(value) __asm__ volatile("" : : "r"(value) : "memory")
/* Makes the call before it no tail call. */
#define NO_TAIL_CALL() __asm__ volatile("" : : : "memory")

/* Nothing that earlier calls have left on the stack stays there. */
__attribute__((noinline, unused)) static void clear_stack(void) {
    char zeros[16384];
    __builtin_memset(zeros, 0, sizeof zeros);
    /* To the compiler, somebody reads them. */
    KEEP(zeros);
}

/* musl has none. Its programs find the profiler's by its name. */
#if defined(FIXTURE_PVALLOC) && !defined(__GLIBC__)
#include <dlfcn.h>
#define pvalloc(size) ((void *(*)(size_t))dlsym(RTLD_DEFAULT, "pvalloc"))(size)
#endif

#endif
