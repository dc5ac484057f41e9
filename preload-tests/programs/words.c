/* The example of the README: builds a list of words; version 2 (-DNEW) has larger entries and an index. */
#include <stdlib.h>
#include <string.h>

struct word {
    char text[40];
    struct word *next;
    long line;
#ifdef NEW
    long hash;
#endif
};

static struct word *words;

void add_word(long line) {
    struct word *word = calloc(1, sizeof *word);
    word->line = line;
    word->next = words;
    words = word;
}

#ifdef NEW
static char *table;

void build_index(void) {
    for (int i = 0; i < 12; i++) {
        free(table);
        table = malloc(100000);
    }
}
#endif

void parse(void) {
    for (long line = 0; line < 10000; line++)
        add_word(line);
}

int main(void) {
    parse();
#ifdef NEW
    build_index();
#endif
    return 0;
}
