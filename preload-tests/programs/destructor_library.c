/* A library whose constructor and destructor allocate. */
#include "fixture.h"
#include <stdlib.h>

FUNCTION void library_end(void) { for (int i = 0; i < 6; i++) KEEP(malloc(90)); }
FUNCTION void library_start(void) { for (int i = 0; i < 5; i++) KEEP(malloc(80)); }
__attribute__((constructor)) static void start(void) { library_start(); NO_TAIL_CALL(); }
__attribute__((destructor)) static void end(void) { library_end(); NO_TAIL_CALL(); }
