/* Rows that tie: on total bytes, then on calls, then on the first name, then on the second. */
#include "fixture.h"
#include <stdlib.h>

#define SITE(name)                                                                               \
    FUNCTION void name(int count, size_t size) {                                                 \
        for (int i = 0; i < count; i++) KEEP(malloc(size));                                      \
        NO_TAIL_CALL();                                                                          \
    }
SITE(site_a)
SITE(site_b)
SITE(site_c)

FUNCTION void via_y(void) { site_c(1, 600); NO_TAIL_CALL(); }
FUNCTION void via_x(void) { site_c(1, 600); NO_TAIL_CALL(); }

int main(void) {
    site_b(10, 60);
    site_a(10, 60);
    site_a(2, 300);
    via_y();
    via_x();
    site_b(1, 601);
    site_c(3, 0);
    site_a(4, 0);
    return 0;
}
