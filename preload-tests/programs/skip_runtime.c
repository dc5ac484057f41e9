/* The allocator of a Skip runtime in little: a bump allocator with the names and signatures of the
   real one. Built into a program, without an exported symbol, or as a shared library. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

char *SKIP_Obstack_alloc(size_t size);
char *SKIP_Obstack_calloc(size_t size);
char *SKIP_Obstack_shallowClone(size_t size, char *object);
char *SKIP_Obstack_alloc_pinned(size_t size);
char *SKIP_Obstack_calloc_pinned(size_t size);

#define PAGE_SIZE (1 << 20)
static char *head, *end, *page;

/* A new page: the arena's own allocation, not the program's. The old one is used again once there
   are two, so that long runs need no more memory. */
__attribute__((noinline, cold)) static void new_page(size_t size) {
    static char *first;
    if (page == NULL || size > PAGE_SIZE) {
        page = malloc(size > PAGE_SIZE ? size : PAGE_SIZE);
        if (first == NULL) first = page;
    }
    head = page;
    end = page + (size > PAGE_SIZE ? size : PAGE_SIZE);
    if (size > PAGE_SIZE) page = first;
}

char *SKIP_Obstack_alloc(size_t size) {
    size = (size + 15) & ~(size_t)7;
    if (head == NULL || size > (size_t)(end - head)) new_page(size);
    char *result = head;
    head += size;
    return result + 8;
}

#ifdef INDIRECT
/* Nothing says where these calls lead. */
#define ALLOC(size) alloc_again(size)
static char *(*volatile alloc_again)(size_t) = SKIP_Obstack_alloc;
#else
/* Inlined by the compiler, a call, or the jump of a tail call, as it likes. */
#define ALLOC(size) SKIP_Obstack_alloc(size)
#endif

char *SKIP_Obstack_calloc(size_t size) {
    return memset(ALLOC(size), 0, size);
}

/* The size is ignored, as in newer runtimes: the object's first word says how long it is. */
char *SKIP_Obstack_shallowClone(size_t size, char *object) {
    (void)size;
    size_t bytes = *(size_t *)object;
    return memcpy(ALLOC(bytes), object, bytes);
}

/* A tail call, unless it is inlined. */
char *SKIP_Obstack_alloc_pinned(size_t size) {
    return ALLOC(size);
}

char *SKIP_Obstack_calloc_pinned(size_t size) {
    return SKIP_Obstack_calloc(size);
}
