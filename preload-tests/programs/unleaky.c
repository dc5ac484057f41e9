// A program that loses nothing.
#include <stdlib.h>

static void *volatile kept;

int main(void) {
  kept = malloc(100);
  free(malloc(200));
  return 0;
}
