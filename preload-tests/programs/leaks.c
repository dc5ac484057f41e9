// Blocks that can be reached at the end in every way there is, and blocks that cannot. Each kind has a size of
// its own.
#define _GNU_SOURCE
#include "fixture.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct node {
  struct node *next;
  char rest[0];
};

void *in_data = &in_data;
void *in_bss;
__thread void *in_tls;
void *interior;
void *mapped;
struct node *list;
static volatile int ready;

// The compiler may not do without the block.
static void *used(void *block) {
  __asm__ volatile("" : "+r"(block) : : "memory");
  return block;
}

static struct node *chain(size_t size, int n) {
  struct node *first = NULL;
  for (int i = 0; i < n; i++) {
    struct node *node = malloc(size);
    memset(node, 0, size);
    node->next = first;
    first = node;
  }
  return first;
}

__attribute__((noinline)) static void leak(void) {
  for (int i = 0; i < 10; i++)
    memset(used(malloc(1001)), 0, 1001);
  chain(1002, 20);
  // A cycle that nothing points into.
  struct node *a = used(malloc(1003)), *b = used(malloc(1003));
  a->next = b;
  b->next = a;
  memset(used(malloc(300000)), 0, 300000);
  // What a freed block says does not count.
  void **freed = used(malloc(2048));
  freed[10] = used(malloc(1004));
  used(freed);
  free(freed);
}

static void *thread(void *unused) {
  (void)unused;
  void *volatile on_stack = malloc(2001);
  in_tls = malloc(2002);
  ready = 1;
  while (ready != 2)
    usleep(1000);
  return on_stack;
}

int main(void) {
  in_data = malloc(2003);
  in_bss = malloc(2004);
  in_tls = malloc(2005);
  interior = (char *)malloc(2006) + 1000;
  list = chain(2007, 30);
  void *own = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ((void **)own)[77] = malloc(2008);
  void *volatile on_stack = malloc(2009);
  in_bss = realloc(in_bss, 2010);
  // A mapping of which most was never touched.
  char *huge = mmap(NULL, 1L << 36, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (huge != MAP_FAILED)
    *(void **)(huge + (1L << 35)) = malloc(2011);
  // A block with a page that cannot be read.
  char *guarded = aligned_alloc(4096, 5 * 4096);
  memset(guarded, 0, 5 * 4096);
  mprotect(guarded + 4096, 4096, PROT_NONE);
  *(void **)(guarded + 3 * 4096) = malloc(2012);
  mapped = guarded;
  *(void **)in_data = malloc(2006);
  leak();
  clear_stack();
  pthread_t other;
  pthread_create(&other, NULL, thread, NULL);
  while (!ready)
    usleep(1000);
  if (on_stack)
    exit(0);
  return 1;
}
