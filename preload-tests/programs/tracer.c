// Runs a program as its tracer, which stops at nothing: while it does, nobody else may stop the program's threads.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static int failed(const char *what) {
  perror(what);
  return 125;
}

int main(int count, char **arguments) {
  int gate[2];
  char byte = 0;
  if (count < 3 || pipe(gate))
    return failed("tracer LIBRARY PROGRAM ...");
  pid_t child = fork();
  if (child < 0)
    return failed("fork");
  if (!child) {
    // The program starts when it is traced.
    close(gate[1]);
    while (read(gate[0], &byte, 1) > 0)
      ;
    setenv("LD_PRELOAD", arguments[1], 1);
    execv(arguments[2], arguments + 2);
    _exit(failed(arguments[2]));
  }
  if (ptrace(PTRACE_SEIZE, child, 0, PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL))
    return failed("PTRACE_SEIZE");
  close(gate[0]);
  close(gate[1]);
  for (;;) {
    int status;
    pid_t task = waitpid(-1, &status, __WALL);
    if (task < 0)
      return failed("waitpid");
    if (WIFSTOPPED(status)) {
      // A stop of ptrace's own has an event, and a signal is handed on.
      long signal = status >> 16 ? 0 : WSTOPSIG(status);
      ptrace(PTRACE_CONT, task, 0, signal);
    } else if (task == child) {
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
  }
}
