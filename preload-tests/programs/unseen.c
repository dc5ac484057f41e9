// Blocks that are allocated or freed by ways that are not seen, as a library opened with RTLD_DEEPBIND does: what such a block
// holds is reachable, and what was freed is no leak.
#include <stdlib.h>
#include <string.h>
extern void *__libc_malloc(size_t);
extern void __libc_free(void *);
#define APART __attribute__((noinline))
static void **volatile table;
APART static void wipe(void) {
  volatile char room[20000];
  memset((void *)room, 0, sizeof room);
}
APART static void hold(void) {
  table = __libc_malloc(64);
  table[3] = malloc(2000);
  void **far = __libc_malloc(5000);
  far[600] = malloc(100);
}
APART static void drop(void) {
  for (int i = 0; i < 200; i++) {
    void *volatile small[20];
    for (int k = 0; k < 20; k++)
      small[k] = malloc(16 + 8 * (i % 200));
    for (int k = 0; k < 20; k++)
      __libc_free(small[k]);
  }
}
APART static void lose(void) {
  void *volatile p = malloc(333);
  p = 0;
}
int main(void) {
  hold();
  drop();
  lose();
  wipe();
  return 0;
}
