/* torture_stopped HOW: what a program allocated while nothing was recorded leads to a block of 777 bytes that was.
   A block of 555 bytes is lost. */
#include "../../include/skipheap.h"
#include "fixture.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
    struct node *next;
    char more[100];
};
static struct node *volatile first;

FUNCTION void lose(void) {
    void *block = malloc(555);
    KEEP(block);
    memset(block, 0, 555);
}
/* Somebody else stops and starts the recording, and says that he did. */
static void wait_for(sigset_t *set, const char *what) {
    int signal;
    puts(what);
    fflush(stdout);
    if (sigwait(set, &signal)) abort();
}

int main(int count, char **arguments) {
    int is_waiting = count > 1 && !strcmp(arguments[1], "outside");
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (is_waiting) wait_for(&set, "stop");
    else skipheap_stop();
    first = calloc(1, sizeof *first);
    if (is_waiting) wait_for(&set, "start");
    else skipheap_start();
    first->next = malloc(777);
    lose();
    return 3;
}
