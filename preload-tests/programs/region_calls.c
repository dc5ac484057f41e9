/* Allocates as many objects of one kind as the argument says. */
#include "fixture.h"
#include <stdlib.h>
char *SKIP_Obstack_alloc(size_t size);
FUNCTION void leaf(void) { KEEP(SKIP_Obstack_alloc(24)); }
int main(int argc, char **argv) {
    for (long i = argc > 1 ? atol(argv[1]) : 0; i > 0; i--) leaf();
    return 0;
}
