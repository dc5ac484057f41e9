/* One thread frees the number 0 and expects that the file it opens next gets it, while another allocates: nobody else
   of the program opens files. */
#include "fixture.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static volatile long allocated;
static volatile int is_over;

static void *allocate(void *unused) {
    while (!is_over) {
        void *block = malloc(32);
        KEEP(block);
        free(block);
        allocated++;
    }
    return unused;
}
int main(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, allocate, NULL)) abort();
    while (allocated < 10000) usleep(100);
    int wrong = 0;
    for (int i = 0; i < 300000; i++) {
        close(0);
        int opened = open("/dev/null", O_RDONLY);
        if (opened < 0) abort();
        if (!opened) continue;
        wrong++;
        while (dup2(opened, 0)) usleep(1);
        close(opened);
    }
    is_over = 1;
    pthread_join(thread, NULL);
    printf("wrong numbers: %d\n", wrong);
    return 0;
}
