/* SKIP_Obstack_shallowClone as the runtimes of C had it, by AGE: 2020, 2021, 2022, 2024, 2025. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint8_t hints, kind, tiles, name;
    uint16_t metadata, interned;
    size_t user_bytes;
} type_t;

#define PAGE_SIZE (1 << 20)
static __thread char *head, *end;

void new_page(void) {
    head = malloc(PAGE_SIZE);
    end = head + PAGE_SIZE;
}

char *SKIP_Obstack_alloc(size_t size) {
#if AGE >= 2021
    size += 8;
#endif
    size = (size + 7) & ~(size_t)7;
    if (head + size >= end) new_page();
    char *result = head;
    head += size;
#if AGE >= 2021
    result += 8;
#endif
    return result;
}

#ifdef APART
__attribute__((noipa))
#endif
type_t *get_gc_type(char *object) {
    type_t **table = *(type_t ***)(object - 8);
    return table[1];
}

#if AGE == 2020
char *SKIP_Obstack_shallowClone(size_t size, char *object) {
    char *copy = SKIP_Obstack_alloc(size);
    memcpy(copy, object, size);
    return copy;
}
#elif AGE == 2021
char *SKIP_Obstack_shallowClone(size_t size, char *object) {
    size = size + sizeof(void *);
    char *copy = SKIP_Obstack_alloc(size);
    memcpy(copy, object - sizeof(void *), size);
    return copy + sizeof(void *);
}
#else
char *SKIP_Obstack_shallowClone(size_t unused, char *object) {
    (void)unused;
#if AGE == 2022
    type_t *type = *(*(((type_t ***)object) - 1) + 1);
#else
    type_t *type = get_gc_type(object);
#endif
#if AGE == 2025
    size_t left = type->kind == 1 ? 16 : 8;
#else
    size_t left = type->metadata;
#endif
    size_t size = type->user_bytes + left;
    char *copy = SKIP_Obstack_alloc(size);
    memcpy(copy, object - left, size);
    return copy + left;
}
#endif
