/* bump TREES: a formatter in little, whose objects come from the bump allocator of a Skip runtime: it
   builds a tree of some hundred objects, measures it for several widths of a line, writes it out, and
   forgets it. The allocator's function has the name and the signature that the profiler hooks in
   Skip programs. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define FUNCTION __attribute__((noinline, noclone))

enum { PAGE = 1 << 20, MOST_TEXT = 1 << 16 };

static char *head, *end;

FUNCTION char *SKIP_Obstack_alloc(size_t size) {
    size = (size + 15) & ~(size_t)7;
    if (head == NULL || size > (size_t)(end - head)) {
        static char *page;
        if (page == NULL && (page = malloc(PAGE)) == NULL) abort();
        head = page;
        end = page + PAGE;
    }
    char *object = head;
    head += size;
    return object + 8;
}

typedef struct Node {
    struct Node *children[3];
    uint32_t count, width;
    char name[8];
} Node;

static uint64_t state = 1;

static uint32_t next(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

typedef Node *Parser(int depth);
static Parser statement, expression, call;
static Parser *const parsers[] = {statement, expression, call, expression};

FUNCTION static Node *new_node(size_t room) {
    Node *node = (Node *)SKIP_Obstack_alloc(sizeof *node + room);
    node->count = 0;
    for (int i = 0; i < 8; i++) node->name[i] = (char)('a' + next() % 26);
    return node;
}

static inline Node *with_children(Node *node, uint32_t most, int depth) {
    if (depth > 0)
        for (uint32_t wanted = 1 + next() % most; node->count < wanted; node->count++)
            node->children[node->count] = parsers[next() % 4](depth - 1);
    return node;
}

FUNCTION static Node *statement(int depth) { return with_children(new_node(16), 3, depth); }
FUNCTION static Node *expression(int depth) { return with_children(new_node(0), 3, depth); }
FUNCTION static Node *call(int depth) { return with_children(new_node(40), 2, depth); }

FUNCTION static uint32_t measure(Node *node, uint32_t line) {
    uint32_t width = 9;
    for (uint32_t i = 0; i < node->count; i++) width += measure(node->children[i], line);
    node->width = width > line ? width % line : width;
    return node->width;
}

static char text[MOST_TEXT];

FUNCTION static size_t write_out(const Node *node, size_t at) {
    char *copy = SKIP_Obstack_alloc(16);
    for (int i = 0; i < 8; i++) copy[i] = text[(at + (size_t)i) % MOST_TEXT] = node->name[i];
    text[(at + 8) % MOST_TEXT] = node->width > 80 ? '\n' : ' ';
    at += 9;
    for (uint32_t i = 0; i < node->count; i++) at = write_out(node->children[i], at);
    return at;
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    size_t written = 0;
    for (long tree = atol(argv[1]); tree > 0; tree--) {
        head = NULL;
        Node *root = statement(9);
        for (uint32_t line = 20; line <= 100; line += 4) measure(root, line);
        written += write_out(root, 0);
    }
    printf("%zu\n", written);
    return 0;
}
