/* whole_stacks HOW: tries to have one stack taken for another, and prints which there are: for each size the calls of
   each stack that asked for it. */
#define _GNU_SOURCE
#include "fixture.h"
#include <alloca.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include "contexts.h"

FUNCTION void ask(size_t size) {
    void *block = malloc(size);
    KEEP(block);
    free(block);
}

static uint64_t state = 88172645463325252u;
static uint32_t number(uint32_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 33) % below;
}

/* The same slots with the same return addresses, and another caller far above. */
FUNCTION void inner(size_t size) { ask(size); NO_TAIL_CALL(); }
FUNCTION void middle(size_t size) { inner(size); NO_TAIL_CALL(); }
FUNCTION void outer(size_t size) { middle(size); NO_TAIL_CALL(); }
FUNCTION void by_a(size_t size) { outer(size); NO_TAIL_CALL(); }
FUNCTION void by_b(size_t size) { outer(size); NO_TAIL_CALL(); }
static void same_slots(void) {
    for (int i = 0; i < 3000; i++) {
        if (i % 3) by_a(1001);
        else by_b(1001);
        if (i % 2) by_a(1002);
        else { by_a(1002); __asm__ volatile("nop"); }
    }
    printf("1001 1000 2000\n1002 1500 1500\n");
}

/* The same, with hundreds of frames below the difference. */
FUNCTION void down(int depth, size_t size) {
    if (depth) down(depth - 1, size);
    else ask(size);
    NO_TAIL_CALL();
}
FUNCTION void root_a(int depth, size_t size) { down(depth, size); NO_TAIL_CALL(); }
FUNCTION void root_b(int depth, size_t size) { down(depth, size); NO_TAIL_CALL(); }
static void changes_at_the_root(void) {
    for (int i = 0; i < 600; i++) {
        if (i % 2) root_a(400, 1003);
        else root_b(400, 1003);
        /* All are cut at the same frame. */
        if (i % 2) root_a(1500 + i, 1004);
        else root_b(1500 + i, 1004);
    }
    printf("1003 300 300\n1004 600\n");
}

/* An allocation in each frame of a recursion, on the way down and on the way up. */
FUNCTION void each_depth(int depth) {
    ask(1005);
    if (depth > 1) each_depth(depth - 1);
    ask(1006);
    NO_TAIL_CALL();
}
static void each_depth_of_a_recursion(void) {
    for (int i = 0; i < 20; i++) each_depth(700);
    for (size_t size = 1005; size <= 1006; size++) {
        printf("%zu", size);
        for (int i = 0; i < 700; i++) printf(" 20");
        puts("");
    }
}

/* Frames whose size changes from call to call. */
FUNCTION void sized(size_t room, size_t size) {
    volatile char *space = alloca(room);
    space[0] = 1;
    KEEP(space);
    inner(size);
    KEEP(space);
}
FUNCTION void sized_twice(size_t room, size_t size) {
    volatile char *space = alloca(room);
    space[0] = 1;
    KEEP(space);
    sized(room / 2 + 1, size);
    KEEP(space);
}
static void sized_frames(void) {
    for (int i = 0; i < 2000; i++) {
        sized(1 + number(500), 1007);
        sized_twice(1 + number(900), 1008);
        if (i % 4) sized(1 + number(64), 1009);
        else sized_twice(16, 1009);
    }
    printf("1007 2000\n1008 2000\n1009 500 1500\n");
}

/* Coroutines, on memory of their own and on a part of the thread's own stack. */
static ucontext_t back, contexts[2];
FUNCTION void first_coroutine(void) {
    for (;;) {
        inner(1010);
        ask(1011);
        swapcontext(&contexts[0], &back);
    }
}
FUNCTION void second_coroutine(void) {
    for (;;) {
        inner(1010);
        middle(1012);
        swapcontext(&contexts[1], &back);
    }
}
FUNCTION void with_coroutines(char *stacks, size_t len) {
    void (*bodies[])(void) = {first_coroutine, second_coroutine};
    for (int i = 0; i < 2; i++) {
        getcontext(&contexts[i]);
        contexts[i].uc_stack.ss_sp = stacks + i * len;
        contexts[i].uc_stack.ss_size = len;
        contexts[i].uc_link = NULL;
        makecontext(&contexts[i], bodies[i], 0);
    }
    for (int i = 0; i < 1500; i++) {
        swapcontext(&back, &contexts[i % 2]);
        outer(1013);
        if (i % 3 == 0) swapcontext(&back, &contexts[0]);
    }
}
static void coroutines(void) {
    static char apart[2][1 << 16];
    with_coroutines(apart[0], sizeof apart[0]);
    printf("1010 750 1250\n1011 1250\n1012 750\n1013 1500\n");
}
static void coroutines_on_this_stack(void) {
    char here[2][1 << 15];
    with_coroutines(here[0], sizeof here[0]);
    KEEP(here);
    printf("1010 750 1250\n1011 1250\n1012 750\n1013 1500\n");
}

/* Frames that are left by a jump, and others that take their place. */
static jmp_buf place;
FUNCTION void jumps_from(int depth, size_t size) {
    if (!depth) {
        ask(size);
        longjmp(place, 1);
    }
    jumps_from(depth - 1, size);
    NO_TAIL_CALL();
}
FUNCTION void jumps_once(int depth, size_t size) {
    if (!setjmp(place)) jumps_from(depth, size);
    inner(1015);
}
static void jumps(void) {
    for (int i = 0; i < 1200; i++) {
        jumps_once(i % 4, 1014);
        if (i % 2) by_a(1016);
    }
    printf("1014 300 300 300 300\n1015 1200\n1016 600\n");
}

/* Calls that are jumps: who made them is not on the stack. */
void tail(size_t size), long_tail(size_t size);
#ifdef __aarch64__
#define JUMP "b"
#else
#define JUMP "jmp"
#endif
__asm__(".text\n.globl tail\n.type tail, @function\ntail:\n.cfi_startproc\n" JUMP " ask\n.cfi_endproc\n.size tail, . - tail\n"
        ".globl long_tail\n.type long_tail, @function\nlong_tail:\n.cfi_startproc\n" JUMP " inner\n.cfi_endproc\n"
        ".size long_tail, . - long_tail\n");
FUNCTION void calls_tails(int i) {
    if (i % 2) tail(1017);
    else ask(1017);
    static void (*const functions[])(size_t) = {inner, long_tail};
    functions[i % 3 != 0](1018);
    NO_TAIL_CALL();
}
static void tails(void) {
    for (int i = 0; i < 1800; i++) calls_tails(i);
    printf("1017 900 900\n1018 1800\n");
}

/* Handlers that allocate, at any moment, while two stacks take turns. How many stacks the handlers have is left open. */
static volatile int handled, nested, may_nest, is_over;
/* Handlers that may interrupt each other do so to this depth: each may take longer than the timer. */
enum { DEEPEST = 6 };
static int timer;
static void set_timer(int microseconds) {
    if (is_over) microseconds = 0;
    struct itimerval once = {{0, 0}, {0, microseconds}};
    setitimer(timer, &once, NULL);
}
FUNCTION void handler(int signal) {
    (void)signal;
    int depth = __atomic_add_fetch(&nested, 1, __ATOMIC_RELAXED);
    if (may_nest && depth < DEEPEST) set_timer(97);
    by_b(1019);
    ask(1020);
    __atomic_fetch_add(&handled, 1, __ATOMIC_RELAXED);
    __atomic_fetch_sub(&nested, 1, __ATOMIC_RELAXED);
    /* The interrupted code gets this time in any case, however slow handlers are. */
    if (depth == 1) set_timer(97);
}
static void signals(int flags, int which_timer, int number_of_signal) {
    stack_t alternate = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
    if (sigaltstack(&alternate, NULL)) abort();
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags | SA_RESTART};
    sigaction(number_of_signal, &action, NULL);
    timer = which_timer;
    may_nest = flags & SA_NODEFER;
    set_timer(97);
    for (int i = 0; i < 40000 || handled < 200; i++) {
        if (i < 40000 && i % 2) by_a(1021);
        else if (i < 40000) root_b(12, 1021);
    }
    is_over = 1;
    set_timer(0);
    printf("1021 20000 20000\n1019 * %d\n1020 * %d\n", handled, handled);
}

/* The same in threads, which share what is written of stacks. */
static void *in_thread(void *unused) {
    for (int i = 0; i < 20000; i++) {
        if (i % 2) by_a(1022);
        else root_a(i % 40 / 2, 1023);
    }
    return unused;
}
static void threads(void) {
    pthread_t all[8];
    for (int i = 0; i < 8; i++) pthread_create(&all[i], NULL, in_thread, NULL);
    for (int i = 0; i < 8; i++) pthread_join(all[i], NULL);
    printf("1022 80000\n1023");
    for (int i = 0; i < 20; i++) printf(" 4000");
    puts("");
}

/* Stacks that take turns, some hundreds of them: the same call from the same place and for the same size by several
   ways, at several depths, in an order that is never the same for long. */
FUNCTION void left(int depth, size_t size);
FUNCTION void right(int depth, size_t size) {
    if (!depth) ask(size);
    else if (number(2)) left(depth - 1, size);
    else right(depth - 1, size);
    NO_TAIL_CALL();
}
FUNCTION void left(int depth, size_t size) {
    if (!depth) ask(size);
    else if (number(2)) right(depth - 1, size);
    else left(depth - 1, size);
    NO_TAIL_CALL();
}
/* The callers are told by the bits of `path`, from the root on. */
FUNCTION void follows(unsigned path, int depth, size_t size);
FUNCTION void follows_too(unsigned path, int depth, size_t size) {
    if (!depth) ask(size);
    else if (path & 1) follows_too(path >> 1, depth - 1, size);
    else follows(path >> 1, depth - 1, size);
    NO_TAIL_CALL();
}
FUNCTION void follows(unsigned path, int depth, size_t size) {
    if (!depth) ask(size);
    else if (path & 1) follows_too(path >> 1, depth - 1, size);
    else follows(path >> 1, depth - 1, size);
    NO_TAIL_CALL();
}
static int rising(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}
static void turns(void) {
    static int asked[7][64];
    for (int i = 0; i < 60000; i++) {
        /* Some ways are taken often, and all of them now and then. */
        int depth = 1 + (i / 7) % 6;
        unsigned path = number(4) ? (unsigned)(i / 3) % 5 : number(1u << depth);
        path &= (1u << depth) - 1;
        follows(path, depth, 1024);
        asked[depth][path]++;
        if (i % 5 == 0) left(1 + i % 9, 1025);
    }
    printf("1025 * 12000\n1024");
    qsort(asked, sizeof asked / sizeof(int), sizeof(int), rising);
    for (size_t i = 0; i < sizeof asked / sizeof(int); i++)
        if ((&asked[0][0])[i]) printf(" %d", (&asked[0][0])[i]);
    puts("");
}

/* Random calls: the size says by which way it was asked for. */
enum { BASE = 2000, DEPTH = 5, WAYS = 8 };
static int ways[BASE + 40000];
typedef void way(unsigned path, int depth);
static way plain_frame, large_frame, aligned_frame, variable_frame;
static way *const functions[] = {plain_frame, large_frame, aligned_frame, variable_frame};
/* Three calls at most, each from one of two places. */
#define BODY                                                                                     \
    ways[path]++;                                                                                \
    ask(BASE + path);                                                                            \
    for (uint32_t calls = depth < DEPTH ? number(4) : 0; calls; calls--) {                       \
        uint32_t which = number(4);                                                              \
        if (number(2)) functions[which](path * WAYS + which * 2, depth + 1);                     \
        else functions[which](path * WAYS + which * 2 + 1, depth + 1);                           \
    }                                                                                            \
    NO_TAIL_CALL();
FUNCTION void plain_frame(unsigned path, int depth) { BODY }
FUNCTION void large_frame(unsigned path, int depth) {
    volatile char room[3000];
    room[number(3000)] = 1;
    BODY
    KEEP(room);
}
FUNCTION void aligned_frame(unsigned path, int depth) {
    _Alignas(64) volatile char room[64];
    room[number(64)] = 1;
    BODY
    KEEP(room);
}
FUNCTION void variable_frame(unsigned path, int depth) {
    volatile char *room = alloca(1 + number(200));
    room[0] = 1;
    BODY
    KEEP(room);
}
static void random_calls(void) {
    /* Paths begin with 1 so that none is the start of numbers of another length. */
    for (int i = 0; i < 4000; i++) plain_frame(1, 1);
    for (int path = 0; path < 40000; path++)
        if (ways[path]) printf("%d %d\n", BASE + path, ways[path]);
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    /* Standard output asks for its buffer now. */
    puts("");
    if (!strcmp(how, "same-slots")) same_slots();
    else if (!strcmp(how, "root")) changes_at_the_root();
    else if (!strcmp(how, "recursion")) each_depth_of_a_recursion();
    else if (!strcmp(how, "sized")) sized_frames();
    else if (!strcmp(how, "coroutines")) coroutines();
    else if (!strcmp(how, "coroutines-here")) coroutines_on_this_stack();
    else if (!strcmp(how, "jumps")) jumps();
    else if (!strcmp(how, "tails")) tails();
    else if (!strcmp(how, "signals")) signals(0, ITIMER_REAL, SIGALRM);
    else if (!strcmp(how, "signals-apart")) signals(SA_ONSTACK, ITIMER_REAL, SIGALRM);
    else if (!strcmp(how, "signals-nested")) signals(SA_NODEFER, ITIMER_REAL, SIGALRM);
    else if (!strcmp(how, "threads")) threads();
    else if (!strcmp(how, "turns")) turns();
    else if (!strcmp(how, "random")) random_calls();
    else return 1;
    return 0;
}
