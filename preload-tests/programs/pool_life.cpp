// A hooked function in all situations of a program's life: exceptions through its frame, threads,
// a signal handler at any moment, a child of fork. Prints the handler's runs and pages that are
// writable and executable at once.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <pthread.h>
#include <signal.h>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>
#define FUNCTION __attribute__((noipa))
#define KEEP(value) __asm__ volatile("" : : "r"(value) : "memory")

FUNCTION static void *pool_take(size_t size) {
    static char room[16];
    if (size > 1000) throw std::runtime_error("too much");
    return room + size % 16;
}
FUNCTION static void in_vain() { KEEP(pool_take(2000)); }
FUNCTION static void in_thread() { KEEP(pool_take(8)); }
FUNCTION static void interrupted() { KEEP(pool_take(10)); }
FUNCTION static void in_child() { KEEP(pool_take(11)); }

static volatile int runs;
static void handler(int) {
    KEEP(pool_take(9));
    runs = runs + 1;
}
static void *worker(void *) {
    for (int i = 0; i < 50000; i++) in_thread();
    return nullptr;
}

int main() {
    int caught = 0;
    for (int i = 0; i < 50; i++) {
        try {
            in_vain();
        } catch (const std::exception &) {
            caught++;
        }
    }
    pthread_t threads[4];
    for (pthread_t &thread : threads) pthread_create(&thread, nullptr, worker, nullptr);
    for (pthread_t &thread : threads) pthread_join(thread, nullptr);
    signal(SIGALRM, handler);
    for (int i = 0; i < 100; i++) {
        ualarm(50, 0);
        for (int j = 0; j < 20000; j++) interrupted();
    }
    ualarm(0, 0);
    signal(SIGALRM, SIG_IGN);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 77; i++) in_child();
        exit(0);
    }
    waitpid(child, nullptr, 0);
    int open_pages = 0;
    char line[4096];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps)) open_pages += strstr(line, " rwx") != nullptr;
    fclose(maps);
    printf("%d %d %d\n", caught, runs, open_pages);
    return 0;
}
