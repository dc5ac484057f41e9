/* A library with a thread-local variable too large for the static room that the loader keeps for
   libraries opened later, and a constructor that allocates. */
#include "fixture.h"
#include <stdlib.h>

static __thread struct { int count; char room[1 << 16]; } variable;

int *counter(void) { KEEP(variable.room); return &variable.count; }
__attribute__((constructor)) FUNCTION void library_constructor(void) { KEEP(malloc(45)); }
__attribute__((destructor)) FUNCTION void library_destructor(void) { KEEP(malloc(46)); }
