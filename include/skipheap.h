/* skipheap.h: what a program can tell the heap profiler that watches it.
 *
 * Include it and link with nothing: the functions are weak symbols, which libskipheap.so defines
 * where it is preloaded. Where it is not, each call costs one load and a branch, evaluates none of its
 * arguments, and has the value 0.
 *
 * C89 and C++, GCC and Clang. All functions may be called from any thread and in signal handlers, and
 * leave errno alone. Clang needs -fno-direct-access-external-data for code that is not
 * position-independent (-fno-pie); else the linker decides that there is no profiler.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef SKIPHEAP_H
#define SKIPHEAP_H

#include <stddef.h>

#if !defined(__GNUC__) || !defined(__ELF__)
#error "skipheap.h needs weak symbols as GCC and Clang have them"
#endif

#ifdef __clang__
#define SKIPHEAP_WEAK __attribute__((__weak__))
#else
/* The second has the address looked up when the program starts, also in code with fixed addresses. */
#define SKIPHEAP_WEAK __attribute__((__weak__, __noplt__))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Records allocations from now on (SKIP_HEAP_STOPPED=1 starts a program without that). */
extern void skipheap_start(void) SKIPHEAP_WEAK;

/* Records no allocations until skipheap_start. Blocks that were followed are followed until their end. */
extern void skipheap_stop(void) SKIPHEAP_WEAK;

/* 1 while allocations are recorded, else 0. */
extern int skipheap_is_recording(void) SKIPHEAP_WEAK;

/* Writes the state of the recording to a file of its own, for `skip-heapprof report` and
 * `skip-heapprof diff`. The label becomes a part of the file's name; it may be NULL. 1 when it was
 * written, else 0. */
extern int skipheap_snapshot(const char *label) SKIPHEAP_WEAK;

/* Gives what comes next a name, which the reports show on the time line. */
extern void skipheap_phase(const char *label) SKIPHEAP_WEAK;

/* A custom allocator has handed out the block at p: it is counted like one of malloc, with the
 * caller of this function as its innermost frame. No two blocks may begin within the same 8 bytes. */
extern void skipheap_alloc(const void *p, size_t size) SKIPHEAP_WEAK;

/* A custom allocator has taken back the block at p. */
extern void skipheap_free(const void *p) SKIPHEAP_WEAK;

#ifdef __cplusplus
}
#endif

/* A macro's own name is not expanded again in its text. */
#define skipheap_start() (skipheap_start ? skipheap_start() : (void)0)
#define skipheap_stop() (skipheap_stop ? skipheap_stop() : (void)0)
#define skipheap_is_recording() (skipheap_is_recording ? skipheap_is_recording() : 0)
#define skipheap_snapshot(label) (skipheap_snapshot ? skipheap_snapshot(label) : 0)
#define skipheap_phase(label) (skipheap_phase ? skipheap_phase(label) : (void)0)
#define skipheap_alloc(p, size) (skipheap_alloc ? skipheap_alloc(p, size) : (void)0)
#define skipheap_free(p) (skipheap_free ? skipheap_free(p) : (void)0)

#endif
