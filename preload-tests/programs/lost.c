// What is lost, and what is not, one situation an argument: what valgrind calls definitely or indirectly lost is to be
// found, and nothing else. Without a number: the list.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define APART __attribute__((noinline))

struct node {
  struct node *next, *other;
  char text[24];
};

static void *volatile kept[2000];
static __thread void *volatile of_thread;

APART static void wipe(void) {
  volatile char room[30000];
  memset((void *)room, 0, sizeof room);
}

APART static struct node *node(void) { return calloc(1, sizeof(struct node)); }

APART static void last_word(void) {
  char *volatile p = malloc(100);
  p = 0;
}

// The chunk behind the block is free: glibc keeps its address, which lies in the block's last bytes.
APART static void beside_a_free_chunk(void) {
  for (int i = 0; i < 100; i++) {
    char *volatile p = malloc(1100 + 40 * i + i % 16);
    p = 0;
    void *volatile free_later = malloc(2000);
    free(free_later);
  }
}

APART static void list(void) {
  struct node *volatile first = 0;
  for (int i = 0; i < 10; i++) {
    struct node *n = node();
    n->next = first;
    first = n;
  }
  first = 0;
}

APART static void ring(void) {
  struct node *volatile a = node();
  a->next = node();
  a->next->next = node();
  a->next->next->next = a;
  a = 0;
}

APART static void tree(void) {
  struct node *volatile root = node();
  for (int i = 0; i < 2; i++) {
    struct node *n = node();
    n->next = node();
    n->other = node();
    *(i ? &root->next : &root->other) = n;
  }
  root = 0;
}

APART static void itself(void) {
  struct node *volatile n = node();
  n->next = n;
  n = 0;
}

APART static void rings_joined(void) {
  struct node *volatile a = node(), *volatile b = node();
  a->next = a, b->next = b;
  a->other = b;
  a = b = 0;
}

APART static void interior(void) { kept[0] = (char *)malloc(100) + 40; }
APART static void at_the_end(void) { kept[0] = (char *)malloc(100) + 100; }
APART static void of_no_bytes(void) {
  kept[0] = malloc(0);
  void *volatile lost = malloc(0);
  lost = 0;
}
APART static void kept_by_list(void) {
  struct node *n = node();
  kept[0] = n;
  for (int i = 0; i < 10; i++)
    n = n->next = node();
}

APART static void overwritten(void) {
  for (int i = 0; i < 20; i++)
    kept[0] = malloc(300 + i);
}

APART static void after_realloc(void) {
  char *volatile p = malloc(50);
  p = realloc(p, 5000);
  p = realloc(p, 500000);
  p = 0;
}

APART static void in_freed(void) {
  struct node *volatile n = node();
  n->other = malloc(77);
  free(n);
  n = 0;
}

APART static void unaligned(void) { memcpy((char *)kept + 3, &(void *){malloc(88)}, 8); }

APART static void in_mapping(void) {
  void **m = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  m[100] = malloc(111);
  m[600] = malloc(112);
  m[600] = 0;
}

APART static void unmapped(void) {
  void **m = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  m[100] = malloc(113);
  munmap(m, 4096);
}

APART static void protected(void) {
  void **m = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  m[100] = malloc(114);
  mprotect(m, 4096, PROT_READ);
}

APART static void large(void) {
  void **volatile p = malloc(300000);
  p[100] = malloc(115);
  p[37000] = malloc(116);
  p = 0;
}

static void *ends(void *a) {
  void *volatile on_stack = malloc(501);
  of_thread = malloc(502);
  return on_stack ? a : 0;
}

APART static void ended_threads(void) {
  for (int i = 0; i < 4; i++) {
    pthread_t t;
    pthread_create(&t, 0, ends, 0);
    pthread_join(t, 0);
  }
}

static volatile int ready;

APART static void below(void) {
  void *volatile p[20];
  for (int i = 0; i < 20; i++)
    p[i] = malloc(600 + (p[0] == p[i]));
}

static void *waits(void *a) {
  below();
  void *volatile on_stack = malloc(701);
  of_thread = malloc(702);
  ready++;
  for (;;)
    pause();
  return on_stack ? a : 0;
}

static void start(void *(*run)(void *), int count) {
  for (int i = 0; i < count; i++) {
    pthread_t t;
    pthread_create(&t, 0, run, 0);
  }
  while (ready < count)
    usleep(1000);
  usleep(20000);
}

APART static void waiting_threads(void) { start(waits, 3); }

// The address is in one register and nowhere else.
static void *spins(void *a) {
  (void)a;
  void *p = malloc(801);
  register void *held __asm__("r12") = p;
  __asm__ volatile("xor %%eax, %%eax\n xor %%edx, %%edx\n lock incl %1\n 1: pause\n jmp 1b"
                   :
                   : "r"(held), "m"(ready)
                   : "rax", "rdx", "rcx", "memory");
  return 0;
}

APART static void in_a_register(void) { start(spins, 2); }

#define MOVED 20000
static void *volatile slots[4][MOVED];
static int numbers;
static void *moves(void *a) {
  int own = __atomic_fetch_add(&numbers, 1, __ATOMIC_SEQ_CST);
  unsigned r = own + 1;
  for (int i = 0; i < MOVED; i++)
    slots[own][i] = malloc(100);
  __atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
  for (;;) {
    r = r * 1103515245 + 12345;
    unsigned i = (r >> 8) % MOVED;
    r = r * 1103515245 + 12345;
    unsigned j = (r >> 8) % MOVED;
    void *p = slots[own][i], *q = slots[own][j];
    slots[own][i] = q;
    slots[own][j] = p;
  }
  return a;
}

APART static void moving_threads(void) { start(moves, 4); }

APART static void secret(void) {
  int fd = syscall(447, 0);
  if (fd < 0 || ftruncate(fd, 4096))
    return;
  void **m = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  m[5] = malloc(1027);
}

// As `new T[0]` of C++ with a destructor: the number of elements, and the address behind it.
APART static void no_elements(void) {
  for (int i = 0; i < 1000; i++)
    kept[i] = (size_t *)calloc(1, 8) + 1;
}

static void *freed_by_us;
extern void *__libc_malloc(size_t);
extern void __libc_free(void *);

APART static void at_depth(int n) {
  void *volatile here = malloc(900 + n);
  void *volatile lost = malloc(950 + n);
  lost = 0;
  if (n)
    at_depth(n - 1);
  else {
    wipe();
    exit(here == freed_by_us);
  }
}
APART static void exit_below(void) { at_depth(5); }

APART static void exit_now(void) {
  void *volatile here = malloc(970);
  void *volatile lost = malloc(980);
  lost = 0;
  wipe();
  _exit(here == freed_by_us);
}

static void at_end(void) { last_word(); }
APART static void in_handler(void) { atexit(at_end); }

static const struct {
  const char *name;
  void (*run)(void);
} SITUATIONS[] = {
#define S(name) {#name, name}
    S(last_word),     S(beside_a_free_chunk), S(list),          S(ring),          S(tree),
    S(itself),        S(rings_joined),        S(interior),      S(at_the_end),    S(of_no_bytes),
    S(kept_by_list),  S(overwritten),         S(after_realloc), S(in_freed),      S(unaligned),
    S(in_mapping),    S(unmapped),            S(protected),     S(large),         S(ended_threads),
    S(waiting_threads), S(in_a_register),     S(moving_threads), S(secret),       S(no_elements),
    S(exit_below),    S(exit_now),            S(in_handler),
};

int main(int count, char **arguments) {
  for (unsigned i = 0; i < sizeof SITUATIONS / sizeof *SITUATIONS; i++) {
    if (count < 2)
      puts(SITUATIONS[i].name);
    else if (!strcmp(arguments[1], SITUATIONS[i].name))
      SITUATIONS[i].run();
  }
  if (count > 2)
    wipe();
  return 0;
}
