/* alternate N HOW: N calls that allocate and free, from stacks that change from one to the next: two or four depths in
   turn, or each frame of a recursion on its way down and up. */
#include "fixture.h"
#include <stdlib.h>
#include <string.h>

FUNCTION void ask(size_t size) {
    void *block = malloc(size);
    KEEP(block);
    free(block);
}
FUNCTION void down(int depth, size_t size) {
    if (depth) down(depth - 1, size);
    else ask(size);
    NO_TAIL_CALL();
}
FUNCTION void two(long count) {
    for (long i = 0; i < count; i += 2) {
        down(10, 48);
        down(20, 48);
    }
}
FUNCTION void four(long count) {
    for (long i = 0; i < count; i += 4) {
        down(10, 48);
        down(20, 48);
        down(13, 48);
        down(25, 48);
    }
}
FUNCTION void each(int depth) {
    ask(48);
    if (depth > 1) each(depth - 1);
    ask(48);
    NO_TAIL_CALL();
}
FUNCTION void recursion(long count) {
    for (long i = 0; i < count; i += 40) each(20);
}
FUNCTION void plain(long count) {
    for (long i = 0; i < count; i++) down(20, 48);
}
int main(int argc, char **argv) {
    if (argc != 3) return 1;
    long count = atol(argv[1]);
    const char *how = argv[2];
    if (!strcmp(how, "two")) two(count);
    else if (!strcmp(how, "four")) four(count);
    else if (!strcmp(how, "recursion")) recursion(count);
    else if (!strcmp(how, "one")) plain(count);
    else return 1;
    return 0;
}
