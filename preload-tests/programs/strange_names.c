/* The test gives the first two functions names with quotes and a comma. */
#include "fixture.h"
#include <stdlib.h>

FUNCTION void with_quotes(void) { KEEP(malloc(5)); }
FUNCTION void with_commas(void) { with_quotes(); NO_TAIL_CALL(); }
FUNCTION void with_dash(void) { with_commas(); NO_TAIL_CALL(); }

int main(void) {
    with_dash();
    NO_TAIL_CALL();
    return 0;
}
