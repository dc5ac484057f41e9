/* A daemon that waits for its first request before it allocates. Its parent ends in `daemon`. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *volatile block;

__attribute__((noinline)) static void serve(int n) {
    while (n--) {
        block = malloc(222);
        free(block);
    }
}

int main(int argc, char **argv) {
    block = malloc(111);
    free(block);
    /* As a server that writes a title for ps over its arguments and its environment. */
    if (argc > 1) memset(argv[0], 'x', argv[argc - 1] + strlen(argv[argc - 1]) - argv[0]);
    if (daemon(1, 1)) return 1;
    usleep(400000);
    serve(1000);
    usleep(200000);
    return 0;
}
