#include "words.h"

#include <stdlib.h>
#include <string.h>

/* A copy of the first word of a text, or NULL where there is none; moves the text behind it. */
char *next_word(const char **text) {
    const char *start = *text + strspn(*text, " ");
    size_t length = strcspn(start, " ");
    *text = start + length;
    if (length == 0)
        return NULL;
    char *word = malloc(length + 1);
    memcpy(word, start, length);
    word[length] = 0;
    return word;
}
