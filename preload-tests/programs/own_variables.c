/* Variables of the program's own under names that the C library has too; linked beside another fixture. */
char **environ;
char *program_invocation_name;
