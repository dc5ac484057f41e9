/* A program on region_runtime.c: how many objects live at its end, and how many did at the peak, is
   known by site. */
#include "fixture.h"
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

char *SKIP_Obstack_alloc(size_t size);
void *SKIP_new_Obstack(void);
void SKIP_destroy_Obstack(void *saved);
void *SKIP_destroy_Obstack_with_value(void *saved, void *value);

FUNCTION char *kept(void) { char *o = SKIP_Obstack_alloc(40); KEEP(o); return o; }
FUNCTION char *passing(size_t size) { char *o = SKIP_Obstack_alloc(size); KEEP(o); return o; }
FUNCTION char *late(void) { char *o = SKIP_Obstack_alloc(56); KEEP(o); return o; }

/* 5000 objects of 100 bytes on several pages, and a large one: dead at the end. */
FUNCTION void region(void) {
    void *saved = SKIP_new_Obstack();
    for (int i = 0; i < 5000; i++) passing(100);
    passing(300000);
    for (int i = 0; i < 10; i++) passing(100);
    SKIP_destroy_Obstack(saved);
}

/* One object of 24 bytes outlives the region. */
FUNCTION void with_value(void) {
    void *saved = SKIP_new_Obstack();
    char *value = passing(24);
    for (int i = 0; i < 999; i++) passing(24);
    KEEP(SKIP_destroy_Obstack_with_value(saved, value));
}

FUNCTION void *in_thread(void *unused) {
    (void)unused;
    void *saved = SKIP_new_Obstack();
    for (int i = 0; i < 3000; i++) passing(64);
    SKIP_destroy_Obstack(saved);
    void *other = malloc(1000);
    KEEP(other);
    free(other);
    return NULL;
}

int main(void) {
    void *outer = SKIP_new_Obstack();
    KEEP(outer);
    for (int i = 0; i < 100; i++) kept();
    for (int i = 0; i < 3; i++) region();
    for (int i = 0; i < 5; i++) with_value();
    pthread_t thread;
    pthread_create(&thread, NULL, in_thread, NULL);
    pthread_join(thread, NULL);
    for (int i = 0; i < 2000; i++) late();
    return 0;
}
