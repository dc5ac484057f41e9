/* A Skip program in little, with a persistent heap: sizes are rounded up to powers of two, and a freed
   cell is given out again. */
#include "fixture.h"
#include <stdlib.h>

static char *free_cells[64];

static int log_of(size_t size) {
    int log = 4;
    while (((size_t)1 << log) < size) log++;
    return log;
}

__attribute__((noinline)) void *sk_palloc(size_t size) {
    int log = log_of(size);
    char *cell = free_cells[log];
    if (cell) {
        free_cells[log] = *(char **)cell;
        return cell;
    }
    static char heap[1 << 22];
    static size_t used;
    cell = heap + used;
    used += (size_t)1 << log;
    return cell;
}

__attribute__((noinline)) void sk_pfree_size(void *cell, size_t size) {
    int log = log_of(size);
    *(char **)cell = free_cells[log];
    free_cells[log] = cell;
}

__attribute__((noinline)) char *SKIP_Obstack_alloc(size_t size) {
    static char *head, *end;
    if (head == NULL || (size_t)(end - head) < size) {
        head = malloc(1 << 20);
        end = head + (1 << 20);
    }
    char *result = head;
    head += (size + 7) & ~(size_t)7;
    return result;
}

FUNCTION void object(size_t size) { KEEP(SKIP_Obstack_alloc(size)); }
FUNCTION void *intern(size_t size) {
    void *cell = sk_palloc(size);
    KEEP(cell);
    return cell;
}

int main(void) {
    for (int i = 0; i < 50; i++) object(40);
    for (int i = 0; i < 30; i++) {
        void *cell = intern(100);
        if (i < 20) sk_pfree_size(cell, 100);
    }
    for (int i = 0; i < 7; i++) intern(3000);
    return 0;
}
