/* A function of libc that allocates is a caller like any other. */
#define _GNU_SOURCE
#include "fixture.h"
#include <string.h>

FUNCTION void duplicate(const char *text) { KEEP(strdup(text)); }

int main(void) {
    duplicate("twelve bytes");
    NO_TAIL_CALL();
    return 0;
}
