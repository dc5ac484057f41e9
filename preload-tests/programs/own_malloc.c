// A program with a malloc of its own, as jemalloc or tcmalloc linked statically.
#include <stddef.h>
extern void *__libc_malloc(size_t);
extern void __libc_free(void *);
__attribute__((noinline)) void *malloc(size_t n) { return __libc_malloc(n); }
__attribute__((noinline)) void free(void *p) { __libc_free(p); }
__attribute__((noinline)) static void lose(void) {
  void *volatile p = malloc(1000);
  p = 0;
}
int main(void) {
  for (int i = 0; i < 1000; i++)
    lose();
  return 0;
}
