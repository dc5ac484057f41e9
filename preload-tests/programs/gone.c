// Allocates in a function whose name only the symbol table has, and has its file removed or replaced meanwhile.
// As a program: `gone FATE` loads ./plug.so, and does with it what the words of FATE say; `own` and
// `own-replace` allocate in the program itself; `memory PROGRAM` runs a copy of it that has no path.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern char **environ;

static __attribute__((noinline)) void ASK(void) {
  void *volatile p = malloc(1111);
  free(p);
}

#ifdef PLUGIN
void plug(void) {
  for (int i = 0; i < 10; i++)
    ASK();
}
#else
static int run_copy(char *path) {
  static char bytes[1 << 20];
  int from = open(path, O_RDONLY), to = memfd_create("copy", MFD_CLOEXEC);
  for (ssize_t len; (len = read(from, bytes, sizeof bytes)) > 0;)
    if (write(to, bytes, len) != len)
      return 2;
  return fexecve(to, (char *[]){path, "own", 0}, environ);
}

int main(int count, char **arguments) {
  const char *fate = count > 1 ? arguments[1] : "";
  if (!strcmp(fate, "memory"))
    return run_copy(arguments[2]);
  if (!strncmp(fate, "own", 3)) {
    for (int i = 0; i < 10; i++)
      ASK();
    return strstr(fate, "replace") && rename("other", "program");
  }
  void *plugin = dlopen("./plug.so", RTLD_NOW);
  if (!plugin)
    return 3;
  if (strstr(fate, "unlink-early") && unlink("plug.so"))
    return 4;
  ((void (*)(void))dlsym(plugin, "plug"))();
  if (strstr(fate, "unlink-late") && unlink("plug.so"))
    return 5;
  if (strstr(fate, "replace") && rename("other.so", "plug.so"))
    return 6;
  if (strstr(fate, "close"))
    dlclose(plugin);
  return strstr(fate, "chdir") ? chdir("/") : 0;
}
#endif
