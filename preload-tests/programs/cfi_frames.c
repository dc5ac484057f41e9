/* Asks for memory below each function of cfi_frames.s. Of each there is a function via_... in front,
   whose own frame is found from rbp. */
#include "fixture.h"
#include <alloca.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A place in the stack above all others. */
char *higher_stack;
static size_t want;
static int by_signal;

FUNCTION void ask(void) { KEEP(malloc(want)); NO_TAIL_CALL(); }
static void in_handler(int signal) { (void)signal; ask(); NO_TAIL_CALL(); }
FUNCTION void callback(void) {
    if (by_signal) raise(SIGUSR1); else ask();
    NO_TAIL_CALL();
}

#define LIST(X) X(c_rsp) X(c_rbp) X(c_rbx) X(c_r13) X(c_expr) X(c_stackswitch) \
    X(c_stackswitch_rbx) X(c_stackswitch_expr) X(c_upwards) X(c_ripelse) X(c_noframe_ends) \
    X(c_pushargs) X(c_remember) X(c_big) X(c_huge) X(c_rbpsaved) X(c_rbpreg)
#define DEFINE(f) \
    void f(void (*)(void)); \
    FUNCTION void via_##f(int n) { char *v = alloca(n); KEEP(v); f(callback); KEEP(v); }
LIST(DEFINE)
FUNCTION void via_array(int n) { char v[3000000]; v[n] = 1; KEEP(v); callback(); KEEP(v); }
#define CALL(f) want++; for (int i = 0; i < 10; i++) via_##f(100 + i);

int main(int argc, char **argv) {
    char higher[65536];
    higher_stack = higher + sizeof higher;
    signal(SIGUSR1, in_handler);
    by_signal = argc > 1 && !strcmp(argv[1], "signal");
    want = 1000;
    LIST(CALL)
    CALL(array)
    KEEP(higher);
    return 0;
}
