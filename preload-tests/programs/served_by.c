/* Asks the other allocator whether a block is one of its own: 0 yes, 1 no, 2 it is not there. */
#define _GNU_SOURCE
#include "fixture.h"
#include <dlfcn.h>
#include <stdlib.h>

FUNCTION void *ask(size_t size) {
    void *block = malloc(size);
    KEEP(block);
    return block;
}

int main(void) {
    int (*served)(void *) = (int (*)(void *))dlsym(RTLD_DEFAULT, "served_by_other_allocator");
    if (!served) return 2;
    for (int i = 0; i < 1000; i++)
        if (!served(ask(77))) return 1;
    return 0;
}
