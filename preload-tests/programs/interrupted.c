/* A signal handler that allocates, in the middle of the allocations of the program. Only an
   allocator without locks bears that: the test preloads one. Prints how often the handler ran. */
#include "fixture.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

static volatile long runs;

FUNCTION void in_handler(int signal) {
    (void)signal;
    runs++;
    KEEP(malloc(24));
}

FUNCTION void ask(void) { KEEP(malloc(16)); }

int main(void) {
    struct sigaction action = {.sa_handler = in_handler, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &often, NULL);
    long asked = 0;
    for (; asked < 1000000 || runs < 200; asked++) ask();
    setitimer(ITIMER_REAL, &never, NULL);
    char line[60];
    int length = snprintf(line, sizeof line, "%ld %ld\n", asked, runs);
    return write(1, line, length) == length ? 0 : 1;
}
