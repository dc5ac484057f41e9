char *next_word(const char **text);
