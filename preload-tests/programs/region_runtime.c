/* The ObStack of a Skip runtime in little, whose objects die with their page. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_SIZE (1 << 16)

typedef struct page {
    struct page *previous;
    size_t size;
    struct saved {
        char *head;
        struct page *page;
        char *end;
    } saved;
    char data[];
} page_t;
typedef struct saved saved_t;

static __thread page_t *page;
static __thread char *head, *end;
static __thread saved_t first;

__attribute__((noinline)) void *sk_malloc(size_t size) { return malloc(size); }
__attribute__((noinline)) void sk_free_size(void *block, size_t size) {
    (void)size;
    free(block);
}

page_t *sk_malloc_page(size_t size) { return sk_malloc(size); }
void sk_free_page(page_t *old) { sk_free_size(old, old->size); }

static void new_page(void) {
    page_t *previous = page;
    page = sk_malloc_page(PAGE_SIZE);
    page->previous = previous;
    page->size = PAGE_SIZE;
    end = (char *)page + PAGE_SIZE;
    head = page->data;
}

static char *large_page(size_t size) {
    page_t *large = sk_malloc(size + sizeof(page_t));
    large->size = size + sizeof(page_t);
    large->previous = page->previous;
    page->previous = large;
    return large->data;
}

char *SKIP_Obstack_alloc(size_t size) {
    size = (size + 15) & ~(size_t)7;
    if (head + size >= end) {
        if (size + sizeof(page_t) > PAGE_SIZE) return large_page(size) + 8;
        new_page();
    }
    char *result = head;
    head += size;
    return result + 8;
}

/* Not inlined below, where it would not be seen. */
__attribute__((noipa)) char *SKIP_Obstack_shallowClone(size_t size, char *object) {
    return memcpy(SKIP_Obstack_alloc(size), object, size);
}

saved_t *SKIP_new_Obstack(void) {
    saved_t *saved = page ? &page->saved : &first;
    *saved = (saved_t){head, page, end};
    new_page();
    return saved;
}

static void free_to(page_t *current, page_t *last) {
    while (current && current != last) {
        page_t *old = current;
        current = current->previous;
        sk_free_page(old);
    }
}

void SKIP_destroy_Obstack(saved_t *saved) {
    free_to(page, saved->page);
    head = saved->head;
    page = saved->page;
    end = saved->end;
}

/* Copies a value of 24 bytes to the older pages. */
void *SKIP_destroy_Obstack_with_value(saved_t *saved, void *value) {
    page_t *current = page, *last = saved->page;
    head = saved->head;
    page = saved->page;
    end = saved->end;
    void *copy = SKIP_Obstack_shallowClone(24, value);
    free_to(current, last);
    return copy;
}
