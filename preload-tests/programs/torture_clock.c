/* torture_clock HOW: allocates before and after it has forbidden itself to read the processor's time stamp
   counter. */
#include "fixture.h"
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

FUNCTION void ask(int count) {
    for (int i = 0; i < count; i++) {
        void *block = malloc(41);
        KEEP(block);
        free(block);
    }
    NO_TAIL_CALL();
}
int main(int count, char **arguments) {
    int is_strict = count > 1 && !strcmp(arguments[1], "strict");
    for (int i = 0; i < 2; i++) {
        if (i && is_strict && prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)) abort();
        if (i && !is_strict && prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0)) abort();
        ask(1000);
    }
    if (write(1, "done\n", 5) != 5) return 1;
    if (is_strict) syscall(SYS_exit, 3);
    return 3;
}
