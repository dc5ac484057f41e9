/* spliced: functions without unwind information, some of which leave rbp as a function farther out had
   it. The one named ROUTINE has no frame; opaque does not return by an instruction of that name. */
#include "fixture.h"
#include <alloca.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static size_t want;
FUNCTION void ask(void) { KEEP(malloc(want)); NO_TAIL_CALL(); }

#ifndef ROUTINE
#define ROUTINE without_frame
#endif
#define TEXT_OF(name) #name
#define TEXT(name) TEXT_OF(name)

typedef void callee(void);
/* Without a frame pointer; with one; with one, and by way of the first. */
void without_frame(callee *);
void opaque(callee *);
void with_frame(callee *);
void both(callee *);
__asm__(".text\n"
        ".type without_frame, @function\n"
        "without_frame: sub $8, %rsp\n call *%rdi\n add $8, %rsp\n ret\n"
        ".size without_frame, . - without_frame\n"
        ".type opaque, @function\n"
        "opaque: sub $8, %rsp\n call *%rdi\n mov 8(%rsp), %rcx\n add $16, %rsp\n jmp *%rcx\n"
        ".size opaque, . - opaque\n"
        ".type with_frame, @function\n"
        "with_frame: push %rbp\n mov %rsp, %rbp\n sub $48, %rsp\n call *%rdi\n leave\n ret\n"
        ".size with_frame, . - with_frame\n"
        ".type both, @function\n"
        "both: push %rbp\n mov %rsp, %rbp\n sub $32, %rsp\n call " TEXT(ROUTINE) "\n leave\n ret\n"
        ".size both, . - both\n");

static void (*volatile by_pointer)(callee *);
FUNCTION void left_out_2(void) { ROUTINE(ask); NO_TAIL_CALL(); }
FUNCTION void left_out_1(void) { left_out_2(); NO_TAIL_CALL(); }
FUNCTION void has_frame(int n, callee *f) { char *v = alloca(n); KEEP(v); f(); KEEP(v); }
/* The function with the frame was called directly, and by a pointer. */
FUNCTION void directly(int n) { has_frame(n, left_out_1); NO_TAIL_CALL(); }
static void (*volatile frame_by_pointer)(int, callee *) = has_frame;
FUNCTION void indirectly(int n) { frame_by_pointer(n, left_out_1); NO_TAIL_CALL(); }
/* The function that calls the routine has the frame. */
FUNCTION void frame_itself(int n, callee *f) { char *v = alloca(n); KEEP(v); ROUTINE(f); KEEP(v); }
static void (*volatile itself_by_pointer)(int, callee *) = frame_itself;
FUNCTION void at_once(int n) { frame_itself(n, ask); NO_TAIL_CALL(); }
FUNCTION void at_once_by_pointer(int n) { itself_by_pointer(n, ask); NO_TAIL_CALL(); }
/* The routine is called by a pointer, too. */
FUNCTION void pointer_2(void) { by_pointer(ask); NO_TAIL_CALL(); }
FUNCTION void pointer_1(void) { pointer_2(); NO_TAIL_CALL(); }
FUNCTION void all_by_pointer(int n) { frame_by_pointer(n, pointer_1); NO_TAIL_CALL(); }
/* One with a frame calls one without. */
FUNCTION void in_both(int n) { (void)n; both(ask); NO_TAIL_CALL(); }
/* What may be followed. */
FUNCTION void sound(int n) { (void)n; with_frame(ask); NO_TAIL_CALL(); }
FUNCTION void sound_by_pointer(int n) { (void)n; by_pointer = with_frame; by_pointer(ask); NO_TAIL_CALL(); }

/* Code that was made: push rbp; mov rbp, rsp; sub rsp, 64; call rdi; leave; ret */
static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 64,
                                     0xff, 0xd7, 0xc9, 0xc3};
static void (*made[2])(callee *);
FUNCTION void inner_made(void) { made[0](ask); NO_TAIL_CALL(); }
FUNCTION void outer_made(int n) {
    (void)n;
    /* Old return addresses in the frames to come. */
    for (int i = 0; i < 3; i++) { left_out_1(); made[0](left_out_2); }
    want = 1010;
    made[1](inner_made);
    NO_TAIL_CALL();
}

int main(void) {
    char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page, code, sizeof code);
    memcpy(page + 64, code, sizeof code);
    mprotect(page, 4096, PROT_READ | PROT_EXEC);
    made[0] = (void (*)(callee *))(uintptr_t)page;
    made[1] = (void (*)(callee *))(uintptr_t)(page + 64);
    void (*const all[])(int) = {directly, indirectly, at_once, at_once_by_pointer, all_by_pointer,
                                in_both, sound, sound_by_pointer};
    for (int k = 0; k < 8; k++) {
        want = 1000 + k;
        by_pointer = ROUTINE;
        for (int i = 0; i < 10; i++) { clear_stack(); all[k](100 + i); NO_TAIL_CALL(); }
    }
    for (int i = 0; i < 10; i++) { want = 1009; outer_made(i); NO_TAIL_CALL(); }
    return 0;
}
