/* What a report of the live heap tells: what is kept, what dies at once, what grows; by a function
 * that is inlined, in a recursion, and freed by another thread. The lines are in the tests. */
#include "fixture.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static inline __attribute__((always_inline)) void *inner(size_t size) {
    return malloc(size); /* line 9 */
}

FUNCTION void *take(size_t size) {
    void *p = inner(size);
    memset(p, 1, size);
    return p;
}

FUNCTION void *deep(int depth) {
    void *p = depth == 0 ? take(700) : deep(depth - 1);
    NO_TAIL_CALL();
    return p;
}

static void *kept[20];

FUNCTION void keep(void) {
    for (int i = 0; i < 20; i++)
        kept[i] = take(1000);
    for (int i = 0; i < 15; i++)
        free(kept[i]);
}

FUNCTION void die_at_once(void) {
    for (int i = 0; i < 30; i++)
        free(take(300));
}

FUNCTION void grow(void) {
    char *p = NULL;
    void *between;
    for (int i = 0; i < 6; i++) {
        p = realloc(p, (size_t)4000 << i);
        between = take(50);
        free(between);
    }
    free(p);
}

FUNCTION void *free_it(void *p) {
    free(p);
    NO_TAIL_CALL();
    return NULL;
}

int main(void) {
    keep();
    die_at_once();
    grow();
    pthread_t thread;
    void *p = deep(9);
    if (pthread_create(&thread, NULL, free_it, p) != 0)
        return 1;
    pthread_join(thread, NULL);
    return 0;
}
