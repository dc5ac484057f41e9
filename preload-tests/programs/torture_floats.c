/* torture_floats [trap]: which floating-point exceptions are noted, or raised, by allocations. */
#define _GNU_SOURCE
#include "fixture.h"
#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef __GLIBC__
/* musl has none. */
static int feenableexcept(int exceptions) {
    unsigned control;
    __asm__ volatile("stmxcsr %0" : "=m"(control));
    control &= ~(exceptions << 7);
    __asm__ volatile("ldmxcsr %0" : : "m"(control));
    return 0;
}
#endif

int main(int count, char **arguments) {
    (void)arguments;
    if (fesetround(FE_UPWARD)) abort();
    feclearexcept(FE_ALL_EXCEPT);
    if (count > 1 && feenableexcept(FE_ALL_EXCEPT) == -1) abort();
    for (int i = 1; i < 20000; i++) {
        void *block = malloc(i % 1000 + 1);
        KEEP(block);
        block = realloc(block, i % 1000 + 50);
        KEEP(block);
        free(block);
    }
    int noted = fetestexcept(FE_ALL_EXCEPT);
    int is_upward = fegetround() == FE_UPWARD;
    printf("noted %x, rounds up %d\n", noted, is_upward);
    return 0;
}
