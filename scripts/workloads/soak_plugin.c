/* What soak.cpp loads and unloads: allocates when it is loaded, when it is called, and at its end. */
#include <stdlib.h>

extern void soak_count(void);

__attribute__((noinline)) static void soak_plugin_takes(size_t size) {
    soak_count();
    void *block = malloc(size);
    __asm__ volatile("" : : "r"(block) : "memory");
    free(block);
}

__attribute__((constructor)) static void begin(void) { soak_plugin_takes(31); }
__attribute__((destructor)) static void end(void) { soak_plugin_takes(33); }
void plugin_work(int times) {
    for (int i = 0; i < times; i++) soak_plugin_takes(32 + i % 3);
}
