/* skip_host LIBRARY FUNCTION: a program with a heap of its own that loads a Skip runtime, as Node and
   Python do. */
#include "fixture.h"
#include <dlfcn.h>
#include <stdlib.h>

FUNCTION void host(size_t size) {
    for (int i = 0; i < 10; i++) {
        void *block = malloc(size);
        KEEP(block);
        free(block);
    }
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    host(111);
    void *library = dlopen(argv[1], RTLD_LAZY | RTLD_LOCAL);
    if (!library) return 3;
    int (*work)(int, char **) = (int (*)(int, char **))dlsym(library, argv[2]);
    if (!work) return 4;
    work(1, argv);
    host(222);
    return 0;
}
