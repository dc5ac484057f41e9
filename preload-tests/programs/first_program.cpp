/* A program on the first Skip runtime: known numbers of calls. */
#include "fixture.h"
#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" {
void *SKIP_Obstack_alloc(size_t size);
void *SKIP_Obstack_calloc(size_t size);
void *SKIP_Obstack_alloc_pinned(size_t size);
void *SKIP_Obstack_shallowClone(const char *object);
char *SKIP_String_concat2(const char *first, const char *second);

static struct {
    uint8_t hints, kind, tiles, name;
    uint16_t metadata, interned;
    size_t userBytes;
} type = {0, 0, 0, 0, 8, 0, 40};

static struct {
    void *type;
    char user[40];
} object = {&type, {0}};

FUNCTION void leaf(size_t size) { KEEP(SKIP_Obstack_alloc(size)); }
FUNCTION void zeroed(void) { KEEP(SKIP_Obstack_calloc(40)); NO_TAIL_CALL(); }
FUNCTION void pinned(void) { KEEP(SKIP_Obstack_alloc_pinned(24)); NO_TAIL_CALL(); }
FUNCTION void cloned(void) { KEEP(SKIP_Obstack_shallowClone(object.user)); }
FUNCTION void joined(void) { KEEP(SKIP_String_concat2("heap ", "profiler")); NO_TAIL_CALL(); }
/* The malloc of a Skip program is not reported. */
FUNCTION void other(void) {
    void *block = malloc(77);
    KEEP(block);
    free(block);
}
FUNCTION void skip_main(void) {
    for (int i = 0; i < 1000; i++) leaf(16);
    leaf(2 << 20);
    for (int i = 0; i < 7; i++) zeroed();
    for (int i = 0; i < 3; i++) pinned();
    for (int i = 0; i < 5; i++) cloned();
    for (int i = 0; i < 9; i++) joined();
    other();
    NO_TAIL_CALL();
}
}

int main() {
    skip_main();
    return 0;
}
