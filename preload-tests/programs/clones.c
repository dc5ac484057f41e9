/* Clones two objects whose tables and types end where readable memory ends. The argument is the first
   one of the calls. */
#define _GNU_SOURCE
#include "fixture.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef struct {
    uint8_t hints, kind, tiles, name;
    uint16_t metadata, interned;
    size_t user_bytes;
} type_t;

char *SKIP_Obstack_shallowClone(size_t size, char *object);

/* Memory behind which nothing can be read. */
static void *at_the_end(const void *bytes, size_t size) {
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || mprotect(page + 4096, 4096, PROT_NONE)) abort();
    return memcpy(page + 4096 - size, bytes, size);
}
static char *object_of(type_t type) {
    void *table[2] = {NULL, at_the_end(&type, sizeof type)};
    void *words[10] = {NULL, at_the_end(table, sizeof table)};
    words[0] = words[1];
    char *memory = at_the_end(words, 16 + 64);
    return memory + 16;
}
FUNCTION void plain(size_t size, char *object) { KEEP(SKIP_Obstack_shallowClone(size, object)); }
FUNCTION void array(size_t size, char *object) { KEEP(SKIP_Obstack_shallowClone(size, object)); }

int main(int argc, char **argv) {
    size_t size = argc > 1 ? atol(argv[1]) : 0;
    char *of_class = object_of((type_t){.kind = 0, .metadata = 8, .user_bytes = 24});
    char *of_array = object_of((type_t){.kind = 1, .metadata = 16, .user_bytes = 40});
    for (int i = 0; i < 6; i++) plain(size, of_class);
    for (int i = 0; i < 4; i++) array(size, of_array);
    return 0;
}
