/* Blocks that are lost and blocks that are kept. Among the former are those to which only memory leads that
   was freed, or the stack of a thread that has ended and was not joined. */
#include "fixture.h"
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static void *kept, **table;

FUNCTION void lose_all(void) {
    for (int i = 0; i < 29; i++) KEEP(malloc(100));
}

FUNCTION void of_stale_table(void) {
    void **stale = malloc(400);
    for (int i = 0; i < 50; i++) stale[i] = malloc(49);
    KEEP(stale);
    free(stale);
}

FUNCTION void keep(void) {
    kept = malloc(77);
    table = malloc(800);
    for (int i = 0; i < 100; i++) table[i] = malloc(i + 1);
    /* Beside what is lost. */
    KEEP(table);
}

FUNCTION void *in_ended_thread(void *unused) {
    void *volatile block = malloc(200);
    KEEP(block);
    return unused;
}

FUNCTION void *in_waiting_thread(void *unused) {
    void *volatile block = malloc(300);
    KEEP(block);
    for (;;) pause();
    return unused;
}

int main(void) {
    pthread_t id;
    keep();
    lose_all();
    of_stale_table();
    if (pthread_create(&id, NULL, in_waiting_thread, NULL)) abort();
    if (pthread_create(&id, NULL, in_ended_thread, NULL)) abort();
    usleep(200 * 1000);
    clear_stack();
    return 0;
}
