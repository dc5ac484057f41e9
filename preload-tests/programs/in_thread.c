/* A thread: fewer than four frames between the allocation and the root of the stack. */
#include "fixture.h"
#include <pthread.h>
#include <stdlib.h>

FUNCTION void *worker(void *unused) {
    KEEP(malloc(48));
    return unused;
}

int main(void) {
    pthread_t thread;
    return pthread_create(&thread, NULL, worker, NULL) || pthread_join(thread, NULL);
}
