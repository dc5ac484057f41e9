/* Functions of the C library that a program, or another preloaded library, defines itself: they go on to the
 * next definition, but not for the profiler, which is to call none of them. One that does ends the process. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FUNCTIONS(F)                                                                                         \
    F(__cxa_at_quick_exit) F(__cxa_atexit) F(__cxa_thread_atexit_impl) F(__errno_location)                   \
    F(__pthread_key_create) F(__register_atfork) F(__xpg_strerror_r) F(_dl_find_object) F(abort) F(access)   \
    F(bcmp) F(clock_gettime) F(close) F(dl_iterate_phdr) F(dladdr) F(dlsym) F(dup) F(dup2) F(dup3) F(fcntl)  \
    F(fopen) F(fprintf) F(fstat) F(fstat64) F(fstatfs) F(ftruncate) F(fwrite) F(getauxval) F(getcwd)         \
    F(getenv) F(geteuid) F(getpid) F(getppid) F(getrandom) F(getrlimit) F(gettid) F(gettimeofday) F(ioctl)   \
    F(lseek) F(lseek64) F(lstat) F(lstat64) F(madvise) F(malloc_usable_size) F(memchr) F(memcmp) F(memcpy)   \
    F(memmove) F(memrchr) F(memset) F(mmap) F(mmap64) F(mprotect) F(mremap) F(munmap) F(nanosleep) F(open)   \
    F(open64) F(openat) F(posix_fallocate) F(pread) F(pread64) F(process_vm_readv) F(pthread_getattr_np)     \
    F(pthread_getspecific) F(pthread_key_create) F(pthread_key_delete) F(pthread_mutex_lock)                 \
    F(pthread_mutex_unlock) F(pthread_once) F(pthread_self) F(pthread_setcancelstate) F(pthread_setspecific) \
    F(pthread_sigmask) F(pwrite) F(pwrite64) F(raise) F(read) F(readlink) F(realpath) F(rename)              \
    F(sched_yield) F(sigaction) F(sigaddset) F(sigemptyset) F(sigismember) F(sigpending) F(sigprocmask)      \
    F(sigtimedwait) F(snprintf) F(stat) F(stat64) F(statx) F(strcmp) F(strlen) F(sysconf) F(time)            \
    F(unlink) F(write) F(writev)

/* Where the profiler's library lies; nowhere as long as that is not known. */
unsigned long hostile_low, hostile_high;

/* Finds the next definition of a function, and the profiler's library with it. */
__attribute__((visibility("hidden"))) void *hostile_next(const char *name) {
    if (!hostile_high)
        for (struct link_map *map = _r_debug.r_map; map; map = map->l_next) {
            const char *file = map->l_name, *wanted = "libskipheap.so";
            for (const char *at = map->l_name; *at; at++)
                if (*at == '/') file = at + 1;
            int i = 0;
            while (wanted[i] && wanted[i] == file[i]) i++;
            if (wanted[i]) continue;
            const ElfW(Ehdr) *header = (const void *)map->l_addr;
            const ElfW(Phdr) *segments = (const void *)(map->l_addr + header->e_phoff);
            unsigned long end = map->l_addr;
            for (i = 0; i < header->e_phnum; i++)
                if (segments[i].p_type == PT_LOAD)
                    end = map->l_addr + segments[i].p_vaddr + segments[i].p_memsz;
            hostile_low = map->l_addr;
            hostile_high = end;
        }
    /* dlsym is one of the functions: the loader's own answer, by the version that glibc has had since 2.2.5. */
    static void *(*real)(void *, const char *);
    if (!real) real = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.34");
    if (!real) real = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
    /* No tail call: "next" is meant of the caller. */
    void *volatile next = real(RTLD_NEXT, name);
    return next;
}

/* The profiler has called one of them. */
__attribute__((visibility("hidden"), noreturn)) void hostile_called(const char *name) {
    const char *end = name;
    long result;
    while (*end) end++;
    __asm__ volatile("syscall" : "=a"(result) : "0"(SYS_write), "D"(2), "S"(name), "d"(end - name) : "rcx", "r11", "memory");
    __asm__ volatile("syscall" : "=a"(result) : "0"(SYS_write), "D"(2), "S"(" is called by the profiler\n"), "d"(27) : "rcx", "r11", "memory");
    for (;;) __asm__ volatile("syscall" : "=a"(result) : "0"(SYS_exit_group), "D"(99) : "rcx", "r11", "memory");
}

/* Each: who calls? Then on to what the slot holds, at first the look-up. */
#define DEFINE(name)                                                                                      \
    __asm__(".data\n.p2align 3\nhostile_slot_" #name ": .quad 2f\n"                                        \
            ".section .rodata\nhostile_text_" #name ": .asciz \"" #name "\"\n"                             \
            ".text\n.globl " #name "\n.type " #name ", @function\n" #name ":\n"                            \
            "mov (%rsp), %r11\n"                                                                           \
            "mov hostile_low@GOTPCREL(%rip), %r10\ncmp (%r10), %r11\njb 1f\n"                              \
            "mov hostile_high@GOTPCREL(%rip), %r10\ncmp (%r10), %r11\njae 1f\n"                            \
            "lea hostile_text_" #name "(%rip), %rdi\nand $-16, %rsp\ncall hostile_called\n"                \
            "1: jmp *hostile_slot_" #name "(%rip)\n"                                                       \
            "2: push %rdi\npush %rsi\npush %rdx\npush %rcx\npush %r8\npush %r9\npush %rax\n"               \
            "lea hostile_text_" #name "(%rip), %rdi\ncall hostile_next\n"                                  \
            "mov %rax, hostile_slot_" #name "(%rip)\n"                                                     \
            "pop %rax\npop %r9\npop %r8\npop %rcx\npop %rdx\npop %rsi\npop %rdi\n"                         \
            "jmp *hostile_slot_" #name "(%rip)\n.size " #name ", . - " #name "\n");
FUNCTIONS(DEFINE)

/* Known before main, and before the first call that matters. */
__attribute__((constructor(101))) static void begin(void) {
    void *volatile next = hostile_next("getpid");
    (void)next;
}
