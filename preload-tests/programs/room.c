/* room MEGABYTES: asks for so much in blocks of 112 bytes, and fails if it does not get it. */
#include "fixture.h"
#include <stdlib.h>

int main(int count, char **arguments) {
    long bytes = count > 1 ? atol(arguments[1]) << 20 : 0;
    for (; bytes > 0; bytes -= 112) {
        char *block = malloc(104);
        if (!block) return 1;
        *block = 1;
        KEEP(block);
    }
    return 0;
}
