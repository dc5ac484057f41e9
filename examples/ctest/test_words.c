#include "words.h"

#include <stdlib.h>
#include <string.h>

int main(void) {
    char text[60001] = "";
    for (int i = 0; i < 10000; i++)
        memcpy(text + 6 * i, "words ", 6);
    const char *rest = text;
    int count = 0;
    for (char *word; (word = next_word(&rest)) != NULL; count++)
        free(word);
    return count == 10000 ? 0 : 1;
}
