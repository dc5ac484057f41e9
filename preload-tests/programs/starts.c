/* starts N [PROGRAM ARGUMENTS]: asks for N blocks, runs the program to its end, and asks for N more. The block's size
   is N, so that each process of a tree is known by its own. */
#include "fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

FUNCTION void ask(int count) {
    for (int i = 0; i < count; i++) KEEP(malloc(count));
    NO_TAIL_CALL();
}

int main(int count, char **arguments) {
    if (count < 2) return 2;
    int asked = atoi(arguments[1]);
    ask(asked);
    int status = 0;
    if (count > 2) {
        pid_t child = fork();
        if (child == 0) {
            execv(arguments[2], arguments + 2);
            _exit(127);
        }
        if (waitpid(child, &status, 0) != child) abort();
    }
    ask(asked);
    return status != 0;
}
