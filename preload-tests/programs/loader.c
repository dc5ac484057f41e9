/* loader ROUNDS LIBRARY...: opens, calls and closes the libraries in turn, ROUNDS times. Prints
   where the last round found them, and the most memory used. */
#define _GNU_SOURCE
#include "fixture.h"
#include "peak.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

FUNCTION void *use(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) abort();
    void (*plugin)(void) = (void (*)(void))dlsym(library, "plugin");
    plugin();
    if (dlclose(library)) abort();
    return (void *)plugin;
}

int main(int argc, char **argv) {
    static void *last[16];
    int rounds = atoi(argv[1]);
    for (int round = 0; round < rounds; round++)
        for (int i = 2; i < argc; i++) last[i] = use(argv[i]);
    for (int i = 2; i < argc; i++) printf("%p\n", last[i]);
    print_peak();
    return 0;
}
