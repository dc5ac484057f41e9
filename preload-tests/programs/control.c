/* Controls its own recording through skipheap.h, and prints what the functions said. */
#include "../../include/skipheap.h"
#include "fixture.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

FUNCTION static void take(int times, size_t size)
{
    for (int i = 0; i < times; i++) {
        void *block = malloc(size);
        KEEP(block);
        free(block);
    }
}

FUNCTION static void stop_and_start(void)
{
    printf("%d ", skipheap_is_recording());
    take(3, 100);
    skipheap_stop();
    printf("%d ", skipheap_is_recording());
    take(5, 200);
    if (fork() == 0) {
        /* A child goes on as its parent was, and has a word of its own. */
        take(11, 250);
        skipheap_start();
        take(13, 260);
        _exit(skipheap_is_recording() ? 0 : 1);
    }
    int status = 1;
    wait(&status);
    take(5, 200);
    printf("%d ", status);
    skipheap_start();
    printf("%d\n", skipheap_is_recording());
    take(7, 300);
}

FUNCTION static void snapshots(void)
{
    take(3, 100);
    skipheap_phase("warm up");
    errno = 77;
    int first = skipheap_snapshot("first one");
    take(4, 100);
    take(2, 500);
    skipheap_phase("work");
    int second = skipheap_snapshot(NULL);
    printf("%d %d %d\n", first, second, errno);
}

static char pool[4096];

FUNCTION static void *pool_take(size_t size)
{
    static size_t used;
    void *block = pool + used;
    used += size;
    skipheap_alloc(block, size);
    return block;
}

FUNCTION static void custom(void)
{
    for (int i = 0; i < 6; i++) {
        void *block = pool_take(48);
        NO_TAIL_CALL();
        if (i < 4)
            skipheap_free(block);
    }
    skipheap_alloc(NULL, 48);
    skipheap_alloc(pool, (size_t)1 << 60);
    skipheap_free(NULL);
}

static volatile sig_atomic_t calls;

static void handler(int signal)
{
    (void)signal;
    calls++;
    skipheap_stop();
    skipheap_start();
    skipheap_phase("in a handler");
    if (calls == 7)
        skipheap_snapshot("handler");
    skipheap_alloc(pool, 8);
}

FUNCTION static void handlers(void)
{
    signal(SIGALRM, handler);
    ualarm(2000, 2000);
    while (calls < 50)
        take(1000, 16);
    ualarm(0, 0);
    printf("%d\n", calls);
}

/* Allocates as the lines of a pipe say, and tells when that is done. */
FUNCTION static void serve(const char *path)
{
    static char line[16];
    FILE *pipe = fopen(path, "r");
    setvbuf(pipe, NULL, _IONBF, 0);
    for (int n = 1; fgets(line, sizeof line, pipe); n++) {
        take(atoi(line), 1234);
        printf("done %d\n", n);
    }
    fclose(pipe);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    setvbuf(stdout, NULL, _IONBF, 0);
    if (!strcmp(what, "stop"))
        stop_and_start();
    if (!strcmp(what, "snapshots"))
        snapshots();
    if (!strcmp(what, "custom"))
        custom();
    if (!strcmp(what, "handlers"))
        handlers();
    if (!strcmp(what, "serve"))
        serve(argv[2]);
    return 0;
}
