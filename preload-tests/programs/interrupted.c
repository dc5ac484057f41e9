/* A signal handler that allocates, in the middle of the allocations of the program. Only an
   allocator without locks bears that: the test preloads one. With -DHOOKED it interrupts calls of a function
   that the test hooks. Prints how often each ran. */
#include "fixture.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

static volatile long runs;
static volatile int is_over;

/* Set anew by each handler: the interrupted code gets this time, however slow handlers are. */
static void set_timer(void) {
    struct itimerval once = {{0, 0}, {0, is_over ? 0 : 50}};
    setitimer(ITIMER_REAL, &once, NULL);
}

FUNCTION void in_handler(int signal) {
    (void)signal;
    runs++;
    KEEP(malloc(24));
    set_timer();
}

#ifdef HOOKED
static char room[1 << 16];
static size_t used;

static FUNCTION void *pool_take(size_t size) {
    volatile size_t padded = (size + 7) & ~(size_t)7;
    used = (used + padded) % (sizeof room - 4096);
    KEEP(room);
    return room + used;
}
#define ASK() KEEP(pool_take(16))
#define LEAST_RUNS 2000
#else
FUNCTION void ask(void) { KEEP(malloc(16)); }
#define ASK() ask()
#define LEAST_RUNS 200
#endif

int main(void) {
    struct sigaction action = {.sa_handler = in_handler, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    set_timer();
    long asked = 0;
    for (; asked < 1000000 || runs < LEAST_RUNS; asked++) ASK();
    is_over = 1;
    set_timer();
    char line[60];
    int length = snprintf(line, sizeof line, "%ld %ld\n", asked, runs);
    return write(1, line, length) == length ? 0 : 1;
}
