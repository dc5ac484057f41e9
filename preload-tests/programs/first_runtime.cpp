/* The allocator of the first Skip runtime in little, with its names: C++ of which everything passes
   through skip::Obstack::alloc, and an interface of C that contains a copy of it or calls it. */
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#define METHOD __attribute__((noipa))
/* Makes the call before it no tail call. */
#define NO_TAIL_CALL() __asm__ volatile("" : : : "memory")

namespace skip {
/* As in all runtimes: its name is in the program whatever is stripped. */
struct SkipException {
    virtual ~SkipException() {}
};
METHOD void fail() { throw SkipException(); }

struct Obstack {
    METHOD static Obstack &cur();
    METHOD void *alloc(size_t size);
    METHOD void *calloc(size_t size);
    METHOD void *allocLarge(size_t size);
    METHOD char *concat(const char *first, const char *second);

    /* The compiler's copy of alloc in functions of the same file. */
    __attribute__((always_inline)) void *allocHere(size_t size) {
        size = (size + 7) & ~size_t(7);
        void *result = m_next;
        if (size > size_t(m_end - m_next)) {
            result = allocLarge(size);
            NO_TAIL_CALL();
        } else {
            m_next += size;
        }
        return result;
    }

    char *m_next, *m_end;
};

Obstack &Obstack::cur() {
    static Obstack obstack;
    return obstack;
}
void *Obstack::allocLarge(size_t size) {
    if (size >> 40) fail();
    size_t page = size > 1 << 20 ? size : 1 << 20;
    m_next = static_cast<char *>(malloc(page));
    m_end = m_next + page;
    void *result = m_next;
    m_next += size;
    return result;
}
void *Obstack::alloc(size_t size) { return allocHere(size); }
void *Obstack::calloc(size_t size) { return memset(alloc(size), 0, size); }
char *Obstack::concat(const char *first, const char *second) {
    size_t size = strlen(first) + strlen(second) + 1;
    char *result = static_cast<char *>(alloc(size));
    return strcat(strcpy(result, first), second);
}
}  // namespace skip

struct Type {
    uint8_t hints, kind, tiles, name;
    uint16_t metadata, interned;
    size_t userBytes;
};

extern "C" {
void *SKIP_Obstack_alloc(size_t size) { return skip::Obstack::cur().allocHere(size); }
void *SKIP_Obstack_calloc(size_t size) { return skip::Obstack::cur().calloc(size); }
/* It goes straight to the large objects: no call of alloc. */
void *SKIP_Obstack_alloc_pinned(size_t size) {
    void *result = skip::Obstack::cur().allocLarge(size);
    NO_TAIL_CALL();
    return result;
}

void *SKIP_Obstack_shallowClone(const char *object) {
    const Type &type = **reinterpret_cast<Type *const *>(object - 8);
    size_t size = type.metadata + type.userBytes;
    char *copy = static_cast<char *>(skip::Obstack::cur().alloc(size));
    memcpy(copy, object - type.metadata, size);
    return copy + type.metadata;
}
char *SKIP_String_concat2(const char *first, const char *second) {
    return skip::Obstack::cur().concat(first, second);
}
}
