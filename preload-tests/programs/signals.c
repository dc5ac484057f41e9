/* Says that it is ready, waits for a signal, says which one, and exits with 3 plus its number. */
#include "fixture.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t received;
static void handler(int signal) { received = signal; }

int main(void) {
    int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT};
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    for (int i = 0; i < 6; i++) signal(signals[i], handler);
    KEEP(malloc(40));
    if (write(1, "ready\n", 6) != 6) return 1;
    while (!received) sigsuspend(&before);
    return 3 + received;
}
